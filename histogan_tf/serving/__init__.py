"""Exports trained networks for use without this program: for TF Serving, as ONNX, and as a web page.

export.py is the command. saved_model.py writes a SavedModel, whose functions signatures.py and image_files.py define;
warmup.py and server_files.py write the other files that TF Serving reads. onnx_model.py and web.py write the other two
formats. model_card.py writes the description that goes with every export.
"""
