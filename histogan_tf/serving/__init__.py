"""Models that leave the house: for TF Serving, as ONNX, and as a page in the browser.

export.py is the command. trained.py reads networks from their runs; signatures.py and image_files.py say what a server
offers and saved_model.py writes it, with its warm-up requests (warmup.py) and the server's own files
(server_files.py); onnx_model.py and web.py write the other two formats; model_card.py says of each what it is.
"""
