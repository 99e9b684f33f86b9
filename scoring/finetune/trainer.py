"""transformers' Trainer, told how a judge learns: steps of several forward passes, our losses, dev log loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.callbacks import any_process
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.dev_metrics import DevReading, dev_metrics
from prefstream.scoring.finetune.fitted.head import FittedHead
from prefstream.scoring.finetune.fitted.kept_states import KeptStates
from prefstream.scoring.finetune.losses import cross_entropy, divergence, pairwise_logits, pointwise_logits
from prefstream.scoring.finetune.passes import StepDataset, forward_passes
from prefstream.scoring.finetune.recipe import OptimizerRecipe, Recipe
from prefstream.scoring.judges.padding import needs_mask
from prefstream.scoring.loading.sources import first_line
from prefstream.scoring.runtime import process_count

BATCH: Final = "micro_batches"
"""Key of a step's micro-batches in what the data loader gives: Trainer expects a mapping."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How outputs of the head become a loss.

    Attributes:
        kind: of the judge.
        tau: pointwise: offset of the tie's logit.
        consistency: pairwise: weight of the divergence between both orders.
        dtype: to compute in; below float32 by autocast.
        pad_id: token that fills the right of shorter sequences.
        pass_tokens: padded tokens of one forward pass.
    """

    kind: str
    tau: float
    consistency: float
    dtype: torch.dtype
    pad_id: int
    pass_tokens: int

    def loss(self, outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Weighted sum over the pairs of a pass; a scalar."""
        first, second, targets, ties_possible, weights = (
            batch[name] for name in ("first", "second", "targets", "ties_possible", "weights")
        )
        if self.kind == "pointwise":
            logits = pointwise_logits(outputs, first, second, tau=self.tau)
            return (weights * cross_entropy(logits, targets, ties_possible)).sum()
        given, back = pairwise_logits(outputs, first, second)
        losses = cross_entropy(given, targets, ties_possible)
        both = first != second
        losses = torch.where(both, (losses + cross_entropy(back, targets, ties_possible)) / 2, losses)
        if self.consistency:
            losses = losses + self.consistency * torch.where(both, divergence(given, back), 0.0)
        return (weights * losses).sum()


class JudgeTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """Trains a judge on planned steps.

    A step is several backward passes under a budget of tokens, each of several forward passes of like length: Trainer's
    own accumulation (a fixed number of passes of a fixed number of rows) can't express that.
    """

    def __init__(
        self,
        model: Any,
        *,
        args: TrainingArguments,
        steps: StepDataset,
        dev: Pairs | None,
        reading: Reading,
        optimizer: OptimizerRecipe,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        """Take what belongs to a run.

        Args:
            model: peft's, on its device.
            args: of Trainer.
            steps: the planned steps.
            dev: pairs for `evaluate`.
            reading: how outputs become a loss.
            optimizer: rates of LoRA and head.
            callbacks: beside Trainer's own.
        """
        self.optimizer: Any = None
        self.control: Any = None
        self.reading = reading
        self._rates = optimizer
        super().__init__(
            model=model,
            args=args,
            train_dataset=steps,
            eval_dataset=dev,
            data_collator=_only,
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)  # progress is told to an observer
        self._masked = needs_mask(model, device=self.args.device, dtype=reading.dtype)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Any = None,  # noqa: ARG002 - as Trainer calls it
    ) -> torch.Tensor:
        """All micro-batches of a step; gradients are synchronised between processes at the last one.

        Returns:
            The step's loss, a scalar.
        """
        model.train()
        micro_batches = inputs[BATCH]
        synchronises = self.accelerator.sync_gradients
        total = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(micro_batches):
            last = number == len(micro_batches) - 1
            with nullcontext() if last or not synchronises else self.accelerator.no_sync(model):
                loss = self.reading.loss(self._outputs(model, batch["passes"]), batch)
                loss = loss / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def create_optimizer(self, model: Any = None) -> Any:
        """An optimiser with a rate for LoRA and one for the head."""
        if self.optimizer is None:
            parameters = [item for item in (model or self.model).named_parameters() if item[1].requires_grad]
            rate = self._rates.learning_rate
            groups = [
                {"params": [weight for name, weight in parameters if "lora_" in name], "lr": rate},
                {
                    "params": [weight for name, weight in parameters if "lora_" not in name],
                    "lr": self._rates.head_learning_rate or rate,
                },
            ]
            make, settings = self.get_optimizer_cls_and_kwargs(self.args, model or self.model)
            settings.pop("params", None)
            self.optimizer = make(groups, **{**settings, "weight_decay": self._rates.weight_decay})
        return self.optimizer

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Any = None,  # noqa: ARG002 - as Trainer calls it
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Log loss and accuracy on the dev pairs.

        Returns:
            Metric to value, each name with the prefix.
        """
        pairs = eval_dataset or self.eval_dataset
        if pairs is None:
            raise ValueError("there are no dev pairs")
        reading = self.read_dev(pairs)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in reading.metrics.items()}
        self.log(dict(metrics))  # it adds to what it is given
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def read_dev(self, pairs: Pairs) -> DevReading:
        """Judge pairs with the model as it is; several processes share the passes."""
        values, _ = self._read(pairs, np.arange(len(pairs.sequences)), self.model.config.num_labels)
        return dev_metrics(pairs, values, kind=self.reading.kind, tau=self.reading.tau)

    def read_states(
        self, pairs: Pairs, places: NDArray[np.int64], work: Path, on_progress: Callable[[int, int], bool]
    ) -> NDArray[np.float32] | None:
        """What the head reads of sequences; several processes share the passes.

        Args:
            pairs: of which.
            places: of the sequences that are read.
            work: folder of the run, which keeps what is read until `drop_states`.
            on_progress: told how many passes are done, and how many there are; True ends it.

        Returns:
            Shape (sequences of all pairs, columns of a state), 0 where nothing was read; None where it was ended.
        """
        head = self.model.get_base_model().score
        kept = KeptStates(work, (self.args.process_index, self.args.world_size))
        # With what it reads in place of what it says, the classifier picks states as it picks outputs.
        hook = head.register_forward_hook(lambda _module, given, _output: given[0])
        try:
            states, whole = self._read(pairs, places, self.model.config.hidden_size, on_progress, kept)
        finally:
            hook.remove()
        return states if whole else None

    def begin_with(self, head: FittedHead) -> None:
        """Take a head to begin with."""
        head.put_into(self.model)
        self.reading = replace(self.reading, tau=head.tau)

    def _read(
        self,
        pairs: Pairs,
        places: NDArray[np.int64],
        width: int,
        on_progress: Callable[[int, int], bool] = lambda _done, _all: False,
        kept: KeptStates | None = None,
    ) -> tuple[NDArray[np.float32], bool]:
        """Outputs of the model as it is, and whether they are of all places."""
        was_training = self.model.training
        self.model.eval()
        outputs = torch.zeros((len(pairs.sequences), width), device=self.args.device)
        passes = forward_passes(pairs, places, self.reading.pad_id, padded_tokens=self.reading.pass_tokens)
        passes = passes[self.args.process_index :: self.args.world_size]
        ended = False
        begun = kept.take_up(outputs) if kept else 0
        with torch.inference_mode():
            for done, (chosen, ids, mask) in enumerate(passes[begun:], start=begun):
                ended = on_progress(done, len(passes))
                if kept:
                    kept.keep(outputs, done, at_once=ended)
                if ended:
                    break
                batch = self._prepare_inputs({"input_ids": ids, "attention_mask": mask})
                outputs[chosen] = self._outputs(self.model, [batch])
        self.model.train(was_training)
        ended = any_process(self.args, wanted=ended)
        if self.args.world_size > 1:
            outputs = self.accelerator.reduce(outputs.clone(), "sum")
        values: NDArray[np.float32] = outputs.cpu().numpy()
        return values, not ended

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002 - as Trainer calls it
        """Not counted: Trainer would guess it from inputs of another shape."""
        return 0

    def _outputs(self, model: Any, passes: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
        """Float32 outputs of the head, shape (sequences of all passes, outputs)."""
        with self._autocast():
            outputs = [
                model(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"] if self._masked else None,
                    use_cache=False,
                ).logits
                for inputs in passes
            ]
        return torch.cat(outputs).float()

    def _autocast(self) -> AbstractContextManager[object]:
        if self.reading.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.args.device.type, dtype=self.reading.dtype)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        """Steps in their planned order."""
        return SequentialSampler(train_dataset or self.train_dataset)


def training_arguments(recipe: Recipe, folder: str, *, steps: int, on_cpu: bool, evaluates: bool) -> TrainingArguments:
    """Trainer's settings for a run.

    Args:
        recipe: of the run.
        folder: for checkpoints.
        steps: planned, of all processes together.
        on_cpu: compute on the CPU.
        evaluates: there are dev pairs.

    Raises:
        ConfigError: transformers doesn't know the optimiser or the schedule.
    """
    updates = -(-steps // (recipe.step.accumulation * process_count()))
    try:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,  # the plan holds the epochs of every stage
            per_device_train_batch_size=1,  # one planned step
            gradient_accumulation_steps=recipe.step.accumulation,
            learning_rate=recipe.optimizer.learning_rate,
            lr_scheduler_type=recipe.optimizer.schedule,
            warmup_steps=recipe.optimizer.warmup,  # below 1 it is a share of the steps
            weight_decay=recipe.optimizer.weight_decay,
            adam_beta1=recipe.optimizer.beta1,
            adam_beta2=recipe.optimizer.beta2,
            max_grad_norm=recipe.optimizer.max_grad_norm,
            optim=recipe.optimizer.name,
            seed=recipe.seed,
            use_cpu=on_cpu,
            eval_strategy="steps" if evaluates else "no",
            eval_steps=max(1, -(-updates // recipe.dev.evaluations)),
            save_strategy="steps",
            save_steps=max(1, -(-updates // recipe.checkpoints)),
            save_total_limit=2,  # the newest may be half written when the process dies
            logging_steps=max(1, updates // 200),  # as many points as a curve can show
            logging_nan_inf_filter=False,  # a loss that is no number is an error, not to be smoothed over
            disable_tqdm=True,
            report_to=[],
            remove_unused_columns=False,
            label_names=[],
            dataloader_pin_memory=not on_cpu,
            ddp_find_unused_parameters=False,
            # Buffers are constants, and processes make different numbers of passes in a step: they would wait for one
            # another's broadcasts for ever.
            ddp_broadcast_buffers=False,
        )
    except ValueError as error:
        raise ConfigError(recipe.name, (f"optimizer: {first_line(error)}",)) from None
    # Several cards without a launcher: Trainer would spread each batch over them, and a batch is one planned step.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - as Trainer does itself where it places the model
    return arguments


def _only(items: list[list[dict[str, torch.Tensor]]]) -> dict[str, list[dict[str, torch.Tensor]]]:
    """The one step of a batch."""
    return {BATCH: items[0]}
