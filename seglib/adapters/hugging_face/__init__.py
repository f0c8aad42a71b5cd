"""Models of Hugging Face's transformers: `hf:FOLDER` as written by save_pretrained, or `hf:ID` from the local cache.

`folder` finds and checks the files, `processor` reads the image processor, `forward` calls the model, and `adapter`
puts them together. transformers is imported inside functions: it is an extra, and takes seconds.
"""

from seglib.adapters.hugging_face.adapter import HuggingFaceAdapter, find

__all__ = ["HuggingFaceAdapter", "find"]
