"""Who is measured: each class does the same work in its own way, and runs in a process of its own.

All have `check(material)`, some steps from given weights, images and draws, which returns the losses of each by name;
`run(count)`, so many steps with draws of their own; and `flops()`, the floating-point operations of a step, or None if
they cannot be counted.
"""
