"""fit, validate, test and predict, by LightningCLI."""

from __future__ import annotations

import contextlib
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, set_loader
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins import TorchCheckpointIO
from yaml import YAMLError

from aeanomaly.callbacks.fit_scores import FitScores
from aeanomaly.callbacks.interrupt import Interrupt
from aeanomaly.callbacks.run_record import RunRecord
from aeanomaly.commands.fit.image_shape import ANY_SHAPE, fill_image_shape
from aeanomaly.commands.fit.mistakes import users_mistake
from aeanomaly.commands.fit.refused import refuse_callbacks, refuse_no_batch, refuse_no_validation
from aeanomaly.commands.fit.report import print_report
from aeanomaly.commands.fit.run_callbacks import give_checkpoints_a_folder, progress, without_what_is_unused
from aeanomaly.commands.fit.run_config import RunConfig
from aeanomaly.commands.fit.threads import ProcessorWatch, choose_threads, threads_for
from aeanomaly.commands.fit.unbuilt import why_not_built
from aeanomaly.commands.fit.values import refuse_out_of_range
from aeanomaly.commands.fit.whole_numbers import keep_whole_numbers
from aeanomaly.commands.fit.yaml_values import load_yaml
from aeanomaly.commands.parser import one_line
from aeanomaly.commands.process_settings import command_process, settle_memory
from aeanomaly.data.base import OneClassDataModule
from aeanomaly.distributed.family import end_together, ending
from aeanomaly.errors import UserError
from aeanomaly.evaluation.metric_name import refuse_anomalous_monitors
from aeanomaly.runs.checkpoints import (
    FREE_OF_CHECKPOINT,
    checkpoint_to_resume,
    checkpoint_to_test,
    read_checkpoint,
    refuse_conflict,
    replace_state,
    version_to_continue,
)
from aeanomaly.runs.finding import version_of
from aeanomaly.runs.logger import RunLogger
from aeanomaly.runs.whole_checkpoints import WholeCheckpoints
from aeanomaly.training.module import LitAutoencoder

RESUME = "fit --resume [RUN] takes an unfinished run, by default the latest, on from its last checkpoint."


class AnomalyCLI(LightningCLI):
    """LightningCLI with this project's run directory, checkpoint rules and closing report.

    As with LightningCLI, making one runs the command.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: the words after it.
        processors: started with the process, to choose the number of threads of a fit by; None leaves it as it is.
        page: False makes no report.html, whatever the config says: for runs in such a number that nobody opens it.
        resumed: an unfinished run, to go on in its directory from its last checkpoint, or from the start without one.

    Raises:
        UserError: after a user's mistake; the directory of a run without any result is removed, and a run that was to
            go on is as it was if it was refused.
        KeyboardInterrupt: after Ctrl-C.
        SystemExit: after SIGTERM, with the status 143.
    """

    logger: RunLogger | None = None
    unlogged: Path | None = None  # folder of the checkpoints of a run without logger
    trained_with: int | None = None  # threads of the run that goes on
    steps_done = 0  # by that run

    def __init__(
        self,
        command: str,
        options: Sequence[str],
        processors: ProcessorWatch | None = None,
        page: bool = True,
        resumed: Path | None = None,
    ) -> None:
        self.command, self.processors, self.page, self.resumed = command, processors, page, resumed
        # Lightning's own table of metrics cuts long names off: it is for who asks for it by --verbose.
        quiet = ["--verbose=false"] if command in ("test", "validate") else []
        strict = {"exit_on_error": False, "allow_abbrev": False}  # raise, instead of printing the usage and leaving
        usage = f"python -m aeanomaly {command} --config FILE [options]"
        shown = {"usage": usage, "epilog": RESUME if command == "fit" else ""}
        try:
            if resumed is not None and (checkpoint := checkpoint_to_resume(resumed)) is not None:
                options = [*options, "--ckpt_path", str(checkpoint)]
            set_loader("yaml", load_yaml, (YAMLError,))
            keep_whole_numbers()
            with command_process([command, *quiet, *options]):
                super().__init__(
                    LitAutoencoder,
                    OneClassDataModule,
                    subclass_mode_data=True,
                    auto_configure_optimizers=False,
                    save_config_callback=RunConfig,
                    save_config_kwargs={"save_to_log_dir": False},
                    parser_kwargs={**strict, command: strict | shown},
                )
        except ArgumentError as error:
            raise UserError(one_line(str(error))) from error
        except SystemExit as leaving:
            raise ending(leaving, getattr(self, "trainer", None)) from None
        except Exception as error:
            trainer = getattr(self, "trainer", None)
            config = self.config[command].as_dict() if hasattr(self, "config") else {}
            mistake = why_not_built(error, config, trainer is not None) or users_mistake(error, trainer)
            if not mistake:
                raise
            self.discard_run()
            raise UserError(mistake) from error
        finally:
            if self.logger is not None:
                self.logger.release()

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The command at hand only, so that no parser is built for the others."""
        return {self.command: LightningCLI.subcommands()[self.command]}

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Name a number that is out of range, before numpy or torch meet it; complete the arguments of the net."""
        super().parse_arguments(parser, args)
        options = self.config[self.config["subcommand"]]
        refuse_out_of_range(vars(options.as_flat()))
        self.look_at_images(options)

    def look_at_images(self, options: Namespace) -> None:
        """Complete the arguments of the net by the shape of the images."""
        fill_image_shape(options)

    def before_instantiate_classes(self) -> None:
        """Let what is not known yet be refused by the trainer, which tells it to all devices."""
        fill_image_shape(self.config[self.command], ANY_SHAPE)

    def _parse_ckpt_path(self) -> None:
        """Refuse options that contradict the checkpoint, instead of letting the checkpoint win silently."""
        options = self.config[self.config["subcommand"]]
        if not options.get("ckpt_path"):
            return
        path = Path(options["ckpt_path"])
        saved = read_checkpoint(path)
        if self.command == "fit" and "optimizer_states" not in saved:
            raise UserError(f"{path} holds weights only: they can be tested, but `fit` cannot go on from them")
        self.trained_with, self.steps_done = saved.get("threads"), int(saved.get("global_step", 0))
        self._dump_config()
        given = {key: value for key, value in self.config_dump["model"].items() if key not in FREE_OF_CHECKPOINT}
        del self.config_dump  # it is made again once the seed is known
        refuse_conflict(given, saved.get("hyper_parameters", {}), path)

    def own_callbacks(self) -> list[Callback]:
        """What every run has, whatever its config says."""
        return [RunRecord(), Interrupt()]

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """The configured trainer, with a run directory unless logging is off or done otherwise."""
        path = self.config_init[self.subcommand].get("ckpt_path")
        leaves_nothing = config.get("fast_dev_run") or config.get("barebones")
        if config.get("logger") in (None, True) and not leaves_nothing:
            root = Path(config.get("default_root_dir") or ".")
            version = version_of(self.resumed) if self.resumed else None
            if self.subcommand == "fit" and path:
                version = version_to_continue(Path(path), root)
            self.logger = config["logger"] = RunLogger(root, version)
            if self.logger.continued:  # its checkpoints are there on purpose
                self.logger.go_on_from(self.steps_done)
                warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        without_what_is_unused(config, self.command, self.page)
        trainer = super()._instantiate_trainer(config, [*callbacks, *self.own_callbacks(), *progress(config)])
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # neither the config nor the strategy has its own
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        if trainer.world_size > 1:
            end_together(trainer)
        if trainer.logger is None and not leaves_nothing and trainer.is_global_zero:
            self.unlogged = give_checkpoints_a_folder(trainer)
        return trainer

    def discard_run(self) -> None:
        """Remove the directory of a run without any result, or what a refused attempt to go on with one left in it."""
        if self.logger is not None:
            self.logger.discard()
        if self.unlogged is not None:
            with contextlib.suppress(OSError):  # it holds checkpoints, or its parent those of others
                self.unlogged.rmdir()
                self.unlogged.parent.rmdir()

    def after_instantiate_classes(self) -> None:
        """Let checkpoints describe their model, so that `LitAutoencoder.load_from_checkpoint` needs nothing else."""
        if not self.model.detector.scores:
            raise UserError("model.scores is empty: name at least one score, such as reconstruction")
        described = {**self.config_dump["model"], "_instantiator": "lightning.pytorch.cli.instantiate_module"}
        self.model.save_hyperparameters(described, logger=False)

    def before_fit(self) -> None:
        """Refuse what could not be tested or is chosen by anomalies; leave nothing in the way of the training loop."""
        refuse_no_validation(self.trainer)
        refuse_callbacks(self.trainer)
        schedule = self.config_dump["model"].get("lr_scheduler") or {}
        refuse_anomalous_monitors([(schedule.get("init_args") or {}).get("monitor")])
        parameters = sum(parameter.numel() for parameter in self.model.net.parameters())
        if self.trainer.world_size == 1 and self.processors is not None:  # for several processes Lightning chooses
            # A run that goes on keeps its number: sums in another order differ in the last bit.
            work = parameters * self.datamodule.batch_size
            choose_threads(self.trained_with or threads_for(work, self.processors.free()))
        settle_memory()

    def _refuse_no_batch(self) -> None:
        """Refuse what would give an empty table."""
        refuse_no_batch(self.trainer, self.command)

    before_test = before_validate = before_predict = _refuse_no_batch

    def after_fit(self) -> None:
        """Test the best checkpoint into the same run; say so if there is none."""
        # By its path: "best" would warn that there are several callbacks to choose from.
        best = checkpoint_to_test(self.trainer)
        given = {"datamodule": self.datamodule, "ckpt_path": best, "verbose": False, "weights_only": True}
        if any(isinstance(callback, FitScores) and callback.when == "end" for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            self.trainer.validate(self.model, **given)
            if best is not None and self.trainer.is_global_zero:
                replace_state(best, self.model.state_dict(), self.model.val_metrics())
            self.trainer.strategy.barrier()
        self.trainer.test(self.model, **given)
        self._report("test", str(best) if best is not None else None)

    def after_test(self) -> None:
        """Print the table."""
        self._report("test", self.config_init["test"]["ckpt_path"])

    def after_validate(self) -> None:
        """Print the table."""
        self._report("val", self.config_init["validate"]["ckpt_path"])

    def _report(self, stage: str, checkpoint: str | None) -> None:
        if self.trainer.is_global_zero:
            metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
            print_report(metrics, stage, checkpoint, Path(self.logger.log_dir) if self.logger else None)
