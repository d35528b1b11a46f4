"""Models on tasks, paired by document: how much one is better, and whether that is chance.

task_results         one model on one task, document by document, by a metric of `metrics`
pairing              two of these on the same documents, or what differs
paired_statistics    difference, interval and p-value of `document_scores`
compare              models x tasks, and the mean over tasks, as `scores` has them
tables, json_file, figures, paper
                     what is written of that, and published rows beside it
report               all of it, as a command calls it
"""
