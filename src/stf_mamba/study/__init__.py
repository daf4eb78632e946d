"""The study: every experiment of the ablation report as rows that run, resume, and are reported from files alone.

``rows`` says what there is to run, ``budgets`` how much of it, ``running`` runs it, ``results`` reads what came out;
``claims`` computes what may be concluded; ``tables``, ``figures`` and ``report`` show it.
"""
