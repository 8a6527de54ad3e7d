"""Training, from the first batch to the weight file: read it from top to bottom."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from trainer.checkpoint import Checkpoint, check_same_run, contents_digest, load_checkpoint, save_checkpoint
from trainer.crops import CropsFolder, read_crops_folder
from trainer.endings import GO_ON, NOTHING_BETTER, Trained, Why
from trainer.examiner import NO_NUMBERS, Examiner, NoNumbers
from trainer.journal import Journal
from trainer.learner import Learner, Lesson, Step
from trainer.loader import Batch, Loader
from trainer.material import choose_material
from trainer.processes import Processes, joined, use_bfloat16
from trainer.recipes import loss_at_collapse
from trainer.reporter import Listener, Progress, Reporter
from trainer.run_folder import BEST, CHECKPOINT, LAST, TEACHER, forget_run
from trainer.sampler import Position
from trainer.settings import Machine, TrainSettings
from trainer.start import begin, file_digest, read_teacher
from trainer.teacher import Teaching, clean_lessons, teach
from trainer.tutor import call_tutor

# What may be another when a run goes on: it decides nothing but what is seen of it.
_MAY_DIFFER = ("log_every", "checkpoint_every", "keep_triplets", "licence")
# Of random weights, confusions before this share of the epochs say nothing about labels.
_UNTRAINED = 0.4


def train(
    crops: Path,
    run: Path,
    settings: TrainSettings,
    machine: Machine | None = None,
    listener: Listener | None = None,
    *,
    fresh: bool = False,
) -> Trained:
    """Train a network on a folder of crops, or go on where a run stopped.

    Args:
        crops: the folder.
        run: the run's folder. If a run is there it goes on; with the same crops and settings only.
        settings: all that decides the result.
        machine: where it computes.
        listener: who is told.
        fresh: begin again where a run is there already.
    Raises:
        trainer.crops.CropsError: if there is too little to train on, or a crop cannot be read.
        trainer.checkpoint.CheckpointError: if the run cannot go on.
        trainer.start.StartError: if the first weights do not go with the crops. For others see ``begin``.
        trainer.settings.SettingsError: if settings do not go together.
    """
    machine = machine or Machine()
    folder = read_crops_folder(crops)
    with joined(machine) as processes:
        if fresh and processes.first:
            forget_run(run)
        processes.wait()
        return _Course(folder, run, settings, machine, processes, listener or Listener()).run()


class _Course:
    """A run: what is trained, where it stands, and what it has found so far."""

    def __init__(
        self,
        folder: CropsFolder,
        run: Path,
        settings: TrainSettings,
        machine: Machine,
        processes: Processes,
        listener: Listener,
    ) -> None:
        bfloat16 = use_bfloat16(settings.precision, processes.device)
        self.settings, self.processes, self.root, self.bfloat16 = settings, processes, run, bfloat16
        self.material = material = choose_material(folder, settings, processes.count)
        start = begin(settings, folder.settings)
        people = max(2, len(material.people))
        self.tutor = call_tutor(settings, start.network, processes.device, bfloat16=bfloat16)
        self.learner = Learner(start, settings, people, processes, bfloat16=bfloat16, tutor=self.tutor)
        self.loader = Loader(
            folder,
            material.sampler,
            settings.augmentation,
            settings.seed,
            part=processes.rank,
            parts=processes.count,
            readers=machine.readers,
            join=processes.join_rows,
        )
        self.digest = contents_digest(folder)
        self.journal = Journal(material, keep=settings.keep_triplets)
        self.examiner = Examiner(
            run, settings, material, start, bfloat16, self._complain, is_random=settings.init is None
        )
        self.report = Reporter(run, listener, first=processes.first)
        self.at, self.step, self.measured = Position(), 0, -1  # the last: epochs of which the end was measured
        batches = material.sampler.batches_per_epoch
        self.steps, self.log_every = settings.epochs * batches, min(settings.log_every, max(1, batches // 10))
        self.doubted, self.health = np.empty(0, np.int64), "healthy"

    def run(self) -> Trained:
        """Train to the end, or until somebody or something stops it."""
        self._begin_or_go_on()
        if self.tutor is not None and self.settings.init is None and self.step == 0:
            self.report.say("The slim network's first weights are told from its teacher's.")
            self.learner.begin_slim(self.material, self.processes)
            self.examiner.is_random = False
        teaching = self._teach()
        if teaching is None and self.settings.teacher is not None and self.tutor is None:
            return self._end("interrupted", GO_ON)
        if teaching is not None and self.settings.fit_head and self.step == 0:
            lessons = clean_lessons(teaching, self.material.folder, self.processes.device)
            if self.learner.begin_at_teacher(lessons, self.processes):
                self.examiner.is_random = False
                self.report.say("The last layer is fitted to the teacher's embeddings.")
        if failure := self._measure_if_due():
            return self._end(*failure)
        while self.at.epoch < self.settings.epochs:
            for batch in self.loader.batches(self.at):
                lesson = self._lesson(batch, teaching)
                step = self.learner.step(batch.crops, lesson, self.step, self.steps)
                self.step, self.at = self.step + 1, self._after(batch.at)
                self.journal.watch(step, batch.rows, lesson.labels)
                self._report_step(step, batch)
                if failure := self._failure():
                    return self._end(*failure)
                if self.processes.any(self.report.stop()):
                    self._save()
                    return self._end("interrupted", GO_ON)
                if self.step % self.settings.checkpoint_every == 0 and self.at.batch:
                    self._save()
            if failure := self._measure_if_due():
                return self._end(*failure)
            self._save()
        if self.tutor is not None:
            self._refit()
        if self.processes.first:
            self.examiner.write(LAST, self.learner.result, self.settings.epochs)
            if self.settings.recipe_in(self.settings.epochs) == "deepface":
                self._compare_measures()
        return self._end("done", "")

    def _after(self, at: Position) -> Position:
        last = at.batch + 1 == self.material.sampler.batches_per_epoch
        return Position(at.epoch + 1, 0) if last else Position(at.epoch, at.batch + 1)

    def _teach(self) -> Teaching | None:
        """Let the teacher look at all crops that are trained on, if there is one; None also if that was stopped."""
        if self.settings.teacher is None or self.tutor is not None:
            return None
        path, folder = Path(self.settings.teacher), self.material.folder
        return teach(
            read_teacher(path, folder.settings, self.examiner.start.settings.dimension),
            folder,
            self.material.trained,
            self.root / TEACHER / f"{file_digest(path)}-{self.digest}",
            self.processes,
            bfloat16=self.bfloat16,
            tell=lambda done, total: self.report.advance(Progress(done, total, "crops for the teacher")),
            complain=self._complain,
            stop=self.report.stop,
        )

    def _lesson(self, batch: Batch, teaching: Teaching | None) -> Lesson:
        device = self.processes.device
        return Lesson(
            recipe=self.settings.recipe_in(batch.at.epoch),
            labels=torch.from_numpy(self.material.labels[batch.rows]).to(device),
            doubted=torch.from_numpy(np.isin(batch.rows, self.doubted)).to(device),
            wanted=None if teaching is None else teaching.of(batch.rows, device),
        )

    def _report_step(self, step: Step, batch: Batch) -> None:
        epoch = batch.at.epoch + 1
        for complaint in batch.unreadable:
            self.report.event("unreadable", complaint, step=self.step, epoch=epoch)
        if not step.finite:
            text = f"Step {self.step} is left out: the loss or its gradient was no number."
            self.report.event("skipped", text, step=self.step, epoch=epoch)
        loss = float(step.outcome.loss)
        text = f"epoch {epoch} of {self.settings.epochs}, loss {loss:.4f}"
        self.report.advance(Progress(self.step, self.steps, "steps", text), crops=len(batch.rows))
        if step.finite and (self.step % self.log_every == 0 or self.step == 1):
            figures = asdict(self.journal.measure(step)) | {
                "rate": step.rate,
                "gradient_norm": step.gradient_norm,
                "distillation": step.distillation,
                "recipe": self.settings.recipe_in(batch.at.epoch),
                "skipped": self.journal.broken.total,
            }
            self.report.step(self.step, epoch, figures)

    def _complain(self, text: str) -> None:
        self.report.event("unreadable", text, step=self.step, epoch=self.at.epoch + 1)

    def _failure(self) -> tuple[Why, str] | None:
        """Tell why the run must not go on, if so; warn if it is on the way there."""
        if self.journal.broken.must_stop:
            return "broken", self.journal.broken.explanation
        recipe = self.settings.recipe_in(self.at.epoch)
        triplets = recipe is not None and self.settings.teacher is None
        trap = loss_at_collapse(self.settings.loss_settings(recipe)) if recipe and triplets else None
        verdict = self.journal.verdict(trap)
        text = f"{verdict.explanation} {verdict.remedy}"
        if verdict.state == "collapsing" and self.health != "collapsing":
            self.report.event("collapsing", text, step=self.step, epoch=self.at.epoch + 1)
        self.health = verdict.state
        return ("collapsed", text) if verdict.state == "collapsed" else None

    def _measure_if_due(self) -> tuple[Why, str] | None:
        """After an epoch, and before the first one: measure the people who are held out, and list what was mined.

        Returns:
            Why the run must not go on, if so.
        """
        epoch, best, broken = self.at.epoch, False, False
        if self.at.batch or epoch <= self.measured:
            return None
        due = epoch % self.settings.evaluate_every == 0 or epoch == self.settings.epochs
        if due and self.processes.first:
            try:
                best = self.examiner.examine(self.learner.result, epoch, self.processes)
            except NoNumbers:
                broken = True
        if self.processes.any(broken):
            return "broken", NO_NUMBERS
        if epoch:
            self.report.files.write_triplets(epoch, self.journal.hardest_by_name())
            self.report.files.write_suspects(self.journal.suspects_by_name())
        suspects = self.journal.suspects()
        found = self.examiner.last if due else None
        held_out = found and found.as_dict()
        figures = self.journal.end_epoch() | {"held_out": held_out, "best": best, "suspects": len(suspects)}
        self.report.epoch(self.step, epoch, figures)
        if found is not None:
            self.report.say(found.in_words(epoch, best=best))
        if self.settings.then is not None and epoch == self.settings.switch_after:
            text = f"From here on the recipe is {self.settings.then}; it was {self.settings.recipe}."
            self.report.event("recipe", text, step=self.step, epoch=epoch + 1)
        if self.settings.init is None and epoch < _UNTRAINED * self.settings.epochs:
            self.journal.forget_suspicions()
        else:
            self.doubted = suspects
        self.measured = epoch
        self.processes.wait()
        return None

    def _refit(self) -> None:
        """Fit a slim network's head once more, and measure what that gives."""
        if self.processes.first:
            self.learner.end_slim(self.material)
            best = self.examiner.examine(self.learner.result, self.settings.epochs, self.processes)
            if (found := self.examiner.last) is not None:
                self.report.files.log("refit", step=self.step, epoch=self.at.epoch, held_out=found.as_dict(), best=best)
                self.report.say(f"With the head fitted again. {found.in_words(self.at.epoch, best=best)}")
        self.processes.wait()

    def _compare_measures(self) -> None:
        """Judge DeepFace's own ways of comparing faces beside cosine."""
        found = self.examiner.compare_measures(self.learner.result, self.processes)
        if found is not None:
            self.report.files.log("measures", step=self.step, epoch=self.settings.epochs, **found)
            told = ", ".join(f"{name} {accuracy:.4f}" for name, accuracy in found.items())
            self.report.say(f"Accuracy of the measures on people held out: {told}.")

    def _begin_or_go_on(self) -> None:
        """Make the run's folder, or read where the run stopped."""
        path, material = self.root / CHECKPOINT, self.material
        seconds = self._restore(load_checkpoint(path)) if path.exists() else 0.0
        self.processes.wait()  # until all have read it
        settings = {
            "settings": self.settings.as_dict(),
            "crops_folder": str(material.folder.root.resolve()),
            "network": asdict(self.examiner.start.settings),
        }
        start = {
            "epoch": self.at.epoch + 1,
            "people": len(material.people),
            "crops": len(material.trained),
            "held_out_people": material.held_out_people,
            "held_out_crops": len(material.held_out),
            "held_out_not_measured": material.not_measured,
            "processes": self.processes.count,
            "device": str(self.processes.device),
            "precision": "bf16" if self.bfloat16 else "fp32",
            "parameters": sum(p.numel() for p in self.learner.network.parameters() if p.requires_grad),
        }
        self.report.begin(settings, step=self.step, seconds=seconds, start=start)
        for remark in material.remarks:
            self.report.say(remark)
        if self.step:
            text = f"Going on after {self.step} of {self.steps} steps."
            self.report.event("resumed", text, step=self.step, epoch=self.at.epoch + 1)

    def _save(self) -> None:
        """Write where the run stands, if its weights are numbers: else the last time stays."""
        if self.processes.first and self.learner.is_sound():
            tensors = self.learner.tensors() | self.journal.tensors()
            tensors["doubted/rows"] = torch.from_numpy(self.doubted)
            state = {
                "settings": self.settings.as_dict(),
                "crops": self.digest,
                "step": self.step,
                "at": asdict(self.at),
                "measured": self.measured,
                "journal": self.journal.state(),
                "examiner": self.examiner.state(),
                "seconds": self.report.seconds,
            }
            save_checkpoint(self.root / CHECKPOINT, Checkpoint(tensors, state))
        self.processes.wait()

    def _restore(self, checkpoint: Checkpoint) -> float:
        """Put back what ``_save`` wrote; gives the seconds that the run has taken."""
        state = checkpoint.state
        check_same_run(checkpoint, self.root, self.settings.as_dict(), self.digest, may_differ=_MAY_DIFFER)
        self.learner.restore(checkpoint.part)
        self.journal.restore(state["journal"], checkpoint.part("suspicions"))
        self.examiner.restore(state["examiner"])
        self.doubted = checkpoint.part("doubted")["rows"].numpy()
        self.at, self.step, self.measured = Position(**state["at"]), state["step"], state["measured"]
        return float(state["seconds"])

    def _end(self, why: Why, text: str) -> Trained:
        best_epoch = self.examiner.best_epoch
        if best_epoch == 0 and why != "interrupted":
            text = f"{text} {NOTHING_BETTER}".strip()
        self.report.end(why, text, step=self.step, epoch=self.at.epoch, best_epoch=best_epoch)
        return Trained(why, text, self.root / BEST if best_epoch >= 0 else None, best_epoch, self.examiner.best)
