"""Parts of `seglib.adapters.openvino_file`: the library, the structure of ONNX files, and what a graph says."""
