"""Files on disk: atomic writes, typed documents, tensors and models. Independent of training."""
