"""The contenders: classes that do the same work, each in its own way and in a process of its own.

Every contender has these methods. `check(material)` makes some steps from given weights, images and random draws, and
returns the losses of each step, by name. `run(count)` makes `count` steps with its own random draws. `flops()` returns
the floating-point operations of a step, or None if they cannot be counted. The leader of a workload also has
`material()`, which returns what the others need for `check`.
"""
