"""Operations are planned once: a document becomes a tree of steps and generated shapers; a request only binds variables."""
