"""Photos in, face embeddings in Parquet shards out."""
