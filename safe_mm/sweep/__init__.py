"""Many few-shot tasks: what they are, what they cost, running them."""
