"""What the tools do, once their options are parsed."""
