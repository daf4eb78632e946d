"""The model: encoder → projection → temporal mixer → head."""
