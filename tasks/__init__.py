"""Long-context tasks for lm-eval: haystacks, needles, grids of exact lengths, scoring."""
