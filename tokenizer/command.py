"""Train the tokenizer on a corpus (stage 1): signals to codes and back.

``--config`` takes a YAML file or a bundled preset (nano, tiny, base); every setting in it can be
overridden on the command line. ``--print_config`` after ``fit`` shows all of them. ``card`` shows
how much of held-out recordings the codes of a finished tokenizer keep (see ``card --help``).

Examples::

    brainfm tokenizer fit --config nano --data.corpus corpus --out runs/tokenizer
    brainfm tokenizer card runs/checkpoint corpus --out card
"""


def main(argv: list[str]) -> int:
    """Run ``brainfm tokenizer ...``."""
    if argv[:1] == ["card"]:
        from brainfm import fidelity_card
        from brainfm.command_parser import command_parser

        arguments = command_parser("tokenizer card", fidelity_card).parse_args(argv[1:])
        return fidelity_card.run(arguments)
    from brainfm.stage_cli import run_stage

    from .data import WindowData
    from .module import TokenizerModule

    return run_stage("tokenizer", TokenizerModule, WindowData, argv, __doc__ or "")
