"""fit, validate, test and predict, by LightningCLI."""

from __future__ import annotations

import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from aeanomaly.callbacks.interrupt import Interrupt
from aeanomaly.callbacks.progress import Progress
from aeanomaly.callbacks.run_record import RunRecord
from aeanomaly.commands.fit.errors import one_line
from aeanomaly.commands.fit.options import complete_options
from aeanomaly.commands.fit.report import print_report
from aeanomaly.commands.fit.threads import ProcessorWatch, choose_threads
from aeanomaly.commands.process_settings import command_process, settle_memory
from aeanomaly.data.base import OneClassDataModule
from aeanomaly.distributed.failure_watch import FailureWatch, StoppedError, report
from aeanomaly.errors import UserError
from aeanomaly.evaluation.monitors import refuse_anomalous_monitors
from aeanomaly.runs.checkpoints import find_conflict, read_hyperparameters
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.layout import run_of_checkpoint
from aeanomaly.runs.logger import RunLogger
from aeanomaly.training.module import LitAutoencoder


class RunConfig(SaveConfigCallback):
    """Saves the run's config.yaml so that ``fit --config`` of it repeats the run from its start."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Save once, on the first device, and only into a run directory."""
        logger = trainer.logger
        if self.already_saved or not isinstance(logger, RunLogger) or not trainer.is_global_zero:
            return
        config = self.config.clone()
        config.pop("ckpt_path", None)  # repeating a run must not start from where it was resumed
        write_whole(Path(logger.log_dir, self.config_filename), self.parser.dump(config, skip_none=False))
        self.already_saved = True


class AnomalyCLI(LightningCLI):
    """LightningCLI with this project's run directory, checkpoint rules and closing report."""

    command: str
    logger: RunLogger | None = None
    watch: FailureWatch | None = None
    processors: ProcessorWatch | None = None

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The command at hand only, so that no parser is built for the others."""
        return {self.command: LightningCLI.subcommands()[self.command]}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Parsers that raise instead of printing their usage and leaving."""
        return super().init_parser(exit_on_error=False, allow_abbrev=False, **kwargs)

    def _parse_ckpt_path(self) -> None:
        """Refuse options that contradict the checkpoint, instead of letting the checkpoint win silently."""
        options = self.config[self.config["subcommand"]]
        if not options.get("ckpt_path"):
            return
        saved = read_hyperparameters(Path(options["ckpt_path"]))
        given = self._plain_model_config(options)
        for key in ("steps_per_call", "cuda_graph"):  # they change nothing but the speed
            given.pop(key, None)
        conflict = find_conflict(given, saved)
        if conflict:
            key, here, there = conflict
            raise UserError(f"model.{key} is {here} here but {there} in {options['ckpt_path']}; drop that option")

    def _plain_model_config(self, options: Namespace) -> dict[str, Any]:
        self._dump_config()
        dump: dict[str, Any] = self.config_dump["model"]
        del self.config_dump  # the dump is taken again once the seed is known
        return dump

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The configured trainer, with a run directory unless logging is off or done otherwise."""
        options = self.config_init[self.subcommand]
        trainer = options["trainer"]
        if trainer.get("logger") in (None, True) and not trainer.get("fast_dev_run"):
            root = Path(trainer.get("default_root_dir") or ".")
            version = None
            if self.subcommand == "fit" and options.get("ckpt_path"):
                version = run_of_checkpoint(Path(options["ckpt_path"])).version_to_continue(root)
            self.logger = kwargs["logger"] = RunLogger(root, version)
            if self.logger.continued:  # its checkpoints are there on purpose
                warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        return super().instantiate_trainer(**kwargs)

    def own_callbacks(self) -> list[Callback]:
        """What every run has, whatever its config says."""
        return [RunRecord(), Interrupt()]

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        callbacks = [*callbacks, *self.own_callbacks()]
        if self.subcommand != "fit":  # nothing is trained, so there is nothing to keep, nor to be warned about
            warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
            config["enable_checkpointing"] = False
            config["callbacks"] = [c for c in config.get("callbacks") or [] if not isinstance(c, Checkpoint)]
        if config.get("enable_progress_bar") is not False:
            callbacks.append(Progress())
        trainer = super()._instantiate_trainer(config, callbacks)
        if trainer.world_size > 1:
            self.watch = FailureWatch(trainer, self.discard_run)
            self.watch.start()
        return trainer

    def discard_run(self) -> None:
        """Remove the directory of a run without any result."""
        if self.logger is not None:
            self.logger.discard()

    def before_instantiate_classes(self) -> None:
        """Refuse to evaluate a net with random weights."""
        if self.subcommand != "fit" and not self.config[self.subcommand].get("ckpt_path"):
            raise UserError(f"{self.subcommand} needs --ckpt_path PATH, the checkpoint of a trained run")

    def after_instantiate_classes(self) -> None:
        """Let checkpoints describe their model, so that `LitAutoencoder.load_from_checkpoint` needs nothing else."""
        described = {**self.config_dump["model"], "_instantiator": "lightning.pytorch.cli.instantiate_module"}
        self.model.save_hyperparameters(described, logger=False)

    def before_fit(self) -> None:
        """Refuse a choice by anomalies, and leave nothing in the way of the training loop."""
        schedule = self.config_dump["model"].get("lr_scheduler") or {}
        monitors = [getattr(callback, "monitor", None) for callback in self.trainer.callbacks]  # type: ignore[attr-defined]
        refuse_anomalous_monitors([*monitors, (schedule.get("init_args") or {}).get("monitor")])
        parameters = sum(parameter.numel() for parameter in self.model.net.parameters())
        if self.trainer.world_size == 1 and self.processors is not None:  # for several processes Lightning chooses
            choose_threads(parameters * self.datamodule.batch_size, self.processors.free())
        settle_memory()

    def after_fit(self) -> None:
        """Test the best checkpoint into the same run."""
        # By its path: "best" would warn that there are two callbacks to choose from. The first is the one that chooses.
        best = getattr(self.trainer.checkpoint_callback, "best_model_path", "") or None
        self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, verbose=False, weights_only=True)
        self._report("test")

    def after_test(self) -> None:
        """Print the table."""
        self._report("test")

    def after_validate(self) -> None:
        """Print the table."""
        self._report("val")

    def _report(self, stage: str) -> None:
        if self.trainer.is_global_zero:
            metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
            print_report(metrics, stage, Path(self.logger.log_dir) if self.logger else None)


def _users_mistake(error: BaseException | None) -> BaseException | None:
    """The mistake behind an exception, which jsonargparse may have wrapped in others; None if it is a defect."""
    while error is not None and not isinstance(error, (UserError, MisconfigurationException)):
        error = error.__cause__
    return error


def run_cli(cli: AnomalyCLI, command: str, options: Sequence[str]) -> None:
    """Run one Trainer verb with a given kind of command line.

    Args:
        cli: made by ``__new__`` only; LightningCLI runs while it is initialised. Afterwards it holds the result.
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: the words after it.

    Raises:
        UserError: after a user's mistake; the directory of a run without any result is removed.
        StoppedError: if another process of the run failed first.
    """
    try:
        with command_process([command, *complete_options(command, list(options))]):
            cli.command = command
            cli.__init__(  # type: ignore[misc]
                LitAutoencoder,
                OneClassDataModule,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                save_config_callback=RunConfig,
            )
    except ArgumentError as error:
        raise UserError(one_line(str(error))) from error
    except Exception as error:
        mistake = _users_mistake(error)
        stopped = cli.watch.settle(error, mistake is not None) if cli.watch is not None else None
        if stopped is not None:
            raise stopped from error
        if mistake is None:
            raise
        cli.discard_run()
        raise UserError(str(mistake)) from error
    finally:
        if cli.watch is not None:
            cli.watch.close()


def run_trainer_command(command: str, options: Sequence[str], processors: ProcessorWatch | None = None) -> int:
    """Run one Trainer verb.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: the words after it.
        processors: started with the process, to choose the number of threads of a fit by; None leaves it as it is.

    Returns:
        The exit status: 0, or that of the process whose failure stopped this one.

    Raises:
        UserError: after a user's mistake.
    """
    cli = AnomalyCLI.__new__(AnomalyCLI)
    cli.processors, threads = processors, torch.get_num_threads()
    try:
        run_cli(cli, command, options)
    except StoppedError as stopped:
        report(stopped.failure, cli.trainer)
        return stopped.failure.status
    finally:
        torch.set_num_threads(threads)
    return 0
