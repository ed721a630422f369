"""What each part of DistilBERT's recipe gives: students without it, as in the paper's table 4, in small.

    python benchmarks/ablation.py --json kdkit/course/measured/ablation.json

The students of a seed read the same texts in the same order with the same tokens masked. Each student is then
fine-tuned on a task that it was never told of (``training.fine_tuning``), and so are the teacher, and a teacher and a
student that never learnt anything. What stands in the JSON file is not trained again.

Each arm has its own learning rate, the best of three by one more seed on validation texts, found beforehand and kept in
``kdkit/course/measured/ablation-rates.json``:

    python benchmarks/ablation.py --tune --json ablation-rates.json

(Those that are kept were found with five epochs in the full setting, where the students have three, and on validation
texts of which 8 % stood in training texts.)
"""

import argparse
import importlib.metadata
import statistics
from pathlib import Path

from kdkit import models, studies, zoo
from kdkit.course import measured
from kdkit.data import text, tokens
from kdkit.measure import machine, metrics
from kdkit.models import bert
from kdkit.training import fine_tuning, masked_lm

TEACHER = "python-teacher"
ARMS = {  # copied layers or random weights, and what the triple loss goes without
    "triple loss": (True, {}),
    "no distillation loss": (True, {"soft_weight": 0.0}),
    "no masked LM": (True, {"hard_weight": 0.0}),
    "no cosine": (True, {"cosine_weight": 0.0}),
    "random weights": (False, {}),
    "layers, no teacher": (True, None),
    "no teacher at all": (False, None),
}
EPOCHS = {"quick": 1, "full": 3}
RATES = (5e-4, 1e-3, 2e-3)
BATCH = 32


class Ablation:
    """All students of one teacher, trained when they are asked for, and kept in ``ledger``."""

    def __init__(self, teacher, corpus, pairs, ledger):
        self.teacher, self.corpus, self.pairs, self.ledger = teacher, corpus, pairs, ledger
        self.test_batch = masked_lm.mask_for_evaluation(corpus.test, corpus.tokenizer)
        self.teacher_test = masked_lm.guesses(teacher, self.test_batch)

    def run(self, arms, seeds, rates):
        """The students of ``arms``, setting by setting, with their ``rates[setting][arm]``."""
        for setting in EPOCHS:
            for seed in range(seeds):
                for arm in arms:
                    self.row(setting, arm, seed, rates[setting][arm])

    def tune(self, arms):
        """One student of each of ``arms`` for each of ``RATES``; none is judged on the test texts."""
        for setting in EPOCHS:
            for arm in arms:
                for rate in RATES:
                    self.row(setting, arm, studies.TUNING_SEED, rate)

    def untaught(self, seeds):
        """The task without distillation: the teacher, and both networks with random weights."""
        device = models.device_of(self.teacher)
        for seed in range(seeds):
            untrained = bert.teacher(**self.teacher.architecture, seed=seed).to(device)
            networks = {"teacher": self.teacher, "untrained teacher": untrained, "untrained": self.student(seed)}
            for name, network in networks.items():
                key = {"setting": "none", "arm": name, "seed": seed, "lr": None}
                self.ledger.row(key, lambda n=network, s=seed: {"transfer": self.transfer(n, s)})

    def student(self, seed):
        return bert.student(self.teacher, seed=seed).to(models.device_of(self.teacher))

    def row(self, setting, arm, seed, rate):
        """What became of one student: a dict. Trained now, unless it has been."""
        key = {"setting": setting, "arm": arm, "seed": seed, "lr": rate}
        return self.ledger.row(key, lambda: self.train(setting, arm, seed, rate))

    def train(self, setting, arm, seed, rate):
        (copied, without), student = ARMS[arm], self.student(seed)
        if copied:
            bert.copy_layers(self.teacher, student)
        taught = {} if without is None else {"teacher": self.teacher, **without}
        settings = {"epochs": EPOCHS[setting], "batch_size": BATCH, "lr": rate, "seed": seed, "progress": False}
        run = masked_lm.train(student, self.corpus, **settings, **taught)
        row = {"val_perplexity": run.history[-1]["val_perplexity"], "seconds": round(run.seconds, 1)}
        if seed == studies.TUNING_SEED:  # nothing that is tuned looks at the test texts
            return row
        row |= masked_lm.judge(masked_lm.guesses(student, self.test_batch), self.test_batch, self.teacher_test)
        return row | {"transfer": self.transfer(student, seed)}

    def transfer(self, network, seed):
        return fine_tuning.fine_tune(
            network, fine_tuning.which_module(self.corpus.tokenizer, self.pairs, seed), seed=seed
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tune", action="store_true", help="find each arm's learning rate, and nothing else")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    options = parser.parse_args()
    if options.tune:
        prepare("ablation-rates", RATES, options.device, options.json).tune(ARMS)
    else:
        print("\n".join(table(run(ARMS, options.seeds, options.device, options.json))))


def prepare(experiment, rates, device="cpu", path=None):
    """The ``Ablation`` of the teacher that ships, on this machine's texts; its rows are kept in the file ``path``."""
    teacher, tokenizer = zoo.load(TEACHER).to(device), zoo.tokenizer(TEACHER)
    documents = text.python()
    corpus, pairs = tokens.corpus(documents, tokenizer), fine_tuning.unseen_docstrings(documents)
    about = {"experiment": experiment, "settings": settings(), "rates": rates}
    about |= {
        "teacher": zoo.card(TEACHER)["sha256"],
        "temperature": masked_lm.DEFAULTS["temperature"],
        "device": device,
    }
    about["data_fingerprint"] = "/".join(tokens.fingerprint(part) for part in corpus[1:])
    ledger = studies.Ledger({**about, "versions": versions()}, path, say=lambda row: print(row, flush=True))
    return Ablation(teacher, corpus, pairs, ledger)


def settings():
    """What students and task have in common, whatever the arm: a dict. Rows of other settings are other results."""
    optimizer = {"betas": masked_lm.BETAS, "weight_decay": masked_lm.WEIGHT_DECAY, "warm_up": masked_lm.WARM_UP}
    optimizer["longest_gradient"] = masked_lm.MAX_GRAD_NORM
    task = {"modules": fine_tuning.MODULES, "labelled": fine_tuning.LABELLED, "most": fine_tuning.PER_MODULE}
    task |= {"length": fine_tuning.MAX_LENGTH, "shortest": fine_tuning.MIN_WORDS}
    task |= {"epochs": fine_tuning.EPOCHS, "batch_size": fine_tuning.BATCH_SIZE, "lr": fine_tuning.PEAK_LR}
    weights = {name: masked_lm.DEFAULTS[f"{name}_weight"] for name in ("soft", "hard", "cosine")}
    return {"epochs": EPOCHS, "batch_size": BATCH, "weights": weights, "optimizer": optimizer, "task": task}


def versions():
    """``machine.versions``, and those of the libraries that build the networks and cut the text."""
    return machine.versions() | {name: importlib.metadata.version(name) for name in ("transformers", "tokenizers")}


def run(arms, seeds, device="cpu", path=None):
    """Train what is missing of ``arms``; the whole result, a dict."""
    rates = {setting: {arm: best_rate(setting, arm) for arm in arms} for setting in EPOCHS}
    ablation = prepare("ablation", rates, device, path)
    ablation.ledger.about["teacher_results"] = masked_lm.report(ablation.teacher, ablation.corpus)
    ablation.untaught(seeds)
    ablation.run(arms, seeds, rates)
    return {**ablation.ledger.about, "rows": ablation.ledger.rows}


def best_rate(setting, arm):
    """The rate with which ``arm`` was best on validation texts."""
    rows = measured.load("ablation-rates")["rows"]
    tried = [row for row in rows if (row["setting"], row["arm"]) == (setting, arm)]
    if not tried:
        raise ValueError(f"no rate was tuned for {arm!r} in the {setting} setting: run this with --tune.")
    return min(tried, key=lambda row: row["val_perplexity"])["lr"]


def values(result, setting, arm, measure):
    """``measure`` of an arm's students, in the order of their seeds: a list."""
    return measured.values(result, measure, setting=setting, arm=arm)


def table(result):
    """What was measured, as lines of Markdown: means over seeds, and the paired difference to the triple loss."""
    for setting, epochs in result["settings"]["epochs"].items():
        yield f"{setting}: {epochs} epoch{'s' * (epochs > 1)}"
        yield ""
        yield "| arm | peak rate | perplexity | masked tokens | against the triple loss | agrees | task |"
        yield "|---|---|---|---|---|---|---|"
        for arm in ARMS:
            words = values(result, setting, arm, "accuracy")
            means = {
                m: statistics.mean(values(result, setting, arm, m)) for m in ("perplexity", "agreement", "transfer")
            }
            pair = metrics.paired_interval(words, baseline=values(result, setting, "triple loss", "accuracy"))
            gap = f"{100 * pair.mean:+.2f} ({100 * pair.low:+.2f} to {100 * pair.high:+.2f})"
            yield (
                f"| {arm} | {values(result, setting, arm, 'lr')[0]:g} | {means['perplexity']:.2f} | "
                f"{statistics.mean(words):.2%} | {gap} | {means['agreement']:.1%} | {means['transfer']:.1%} |"
            )
        yield ""


if __name__ == "__main__":
    main()
