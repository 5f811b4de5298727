"""Evidence for a question: passages by BM25 and a dense encoder, similar cases by their images.

chunking    a document cut into passages by tokens, with overlap; the token budget of a prompt
corpus      JSONL, Parquet, text files and folders to passages with id, source and licence
lexical     BM25 over passages, whole batches of queries at once
vectors     inner-product search over normalised vectors: exact, then IVF; extended without rebuild
encoders    text encoders by name or path
images      image encoders by open_clip
fusion      reciprocal-rank fusion
index       the text index: passages, BM25 and vectors in one folder, with what built it
cases       the case index: images with their diagnoses, and who may see which
queries     what of a question is asked for
"""
