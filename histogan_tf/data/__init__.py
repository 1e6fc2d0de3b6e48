"""Images in: one module per source, the split, and the tf.data pipeline. Knows no model."""
