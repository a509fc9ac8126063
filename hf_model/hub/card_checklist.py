"""Which item of CLAIM and TRIPOD+AI is answered where in the card, and which is not answered.

CLAIM: Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020, doi 10.1148/ryai.2020200029, items 1 to 42.
TRIPOD+AI: Collins et al., BMJ 2024, doi 10.1136/bmj-2023-078378, items 1 to 27.
"""

from __future__ import annotations

from hf_model.hub.card_run import Run, markdown_table

NOT = "**Not answered**"
ROWS = (
    # (topic, CLAIM, TRIPOD+AI, where for the Kermany data, where for other data)
    ("Title names the method, population and outcome", "1", "1", "Title", "Title, without the population"),
    ("Summary", "2", "2", "Table at the top", "Table at the top"),
    ("Background, existing models", "3", "3a", NOT, NOT),
    ("Intended use, users, place in care", "3", "3b", "Intended use", "Intended use"),
    ("Health inequalities, fairness", "", "3c, 14", NOT, NOT),
    ("Objectives, study goal", "4, 6", "4", "Intended use", "Intended use"),
    ("Prospective or retrospective", "5", "5a", "Data", NOT),
    ("Data sources", "7", "5a", "Data", NOT),
    ("Dates", "8", "5b", f"{NOT}: not published", NOT),
    ("Setting, eligibility", "8", "6a, 6b", "Data, in part", NOT),
    ("Treatments", "", "6c", NOT, NOT),
    ("Preprocessing", "9", "7", "preprocessor_config.json", "preprocessor_config.json"),
    ("Data subsets", "10", "5a", "Data, table of splits", "Data, table of splits"),
    ("Definitions of data elements", "11", "8a, 9a", "Data", NOT),
    ("De-identification", "12", "", "Data", NOT),
    ("Missing data", "13", "11", "Not applicable: one picture is the only input", "Not applicable: one picture"),
    ("Reference standard, its rationale", "14, 15", "8a", "Data", NOT),
    ("Annotators, tools, agreement between them", "16 to 18", "8b, 8c", "Data, in part; agreement not published", NOT),
    ("Sample size", "19", "10", "Operating points: patients needed", "Operating points: patients needed"),
    ("Partitions, disjoint by patient", "20, 21", "12a", "Data, Protocol", "Data, Protocol"),
    ("Model, software, initial weights", "22 to 24", "12c, 22", "Protocol, config.json", "Protocol, config.json"),
    ("Training, choice of the final model", "25, 26", "12c, 21", "Protocol, metrics.json", "Protocol, metrics.json"),
    ("Ensembling", "27", "12c", "Not applicable: one model", "Not applicable: one model"),
    ("Class imbalance", "", "13", "Protocol: class weights", "Protocol: class weights"),
    ("Metrics, uncertainty", "28, 29", "12e", "Results", "Results"),
    ("Output, thresholds", "", "15", "Operating points", "Operating points"),
    ("Training against evaluation data", "", "16, 20c", "Data: shift between train and test", NOT),
    ("Robustness", "30", "12e", "Agreement between renderings", "Agreement between renderings"),
    ("Explainability", "31", "", "Limits: heat map", "Limits: heat map"),
    ("External validation", "32", "12d", f"{NOT}: none with this checkpoint", f"{NOT}: none recorded"),
    ("Flow and characteristics of participants", "33, 34", "20a, 20b", "Data, counts only", "Data, counts only"),
    ("Performance on all partitions, with intervals", "35, 36", "23a", "Results", "Results"),
    ("Calibration", "28", "12e, 23a", "Calibration", "Calibration"),
    ("Heterogeneity, subgroups", "36", "23b", "Subgroups", "Subgroups"),
    ("Failure analysis", "37", "", "evaluation.html", "evaluation.html"),
    ("Model updating", "", "12f, 24", "Limits: recalibrate", "Limits: recalibrate"),
    ("Limitations, interpretation", "38", "25, 26", "Limits", "Limits"),
    (
        "Implications, poor input, user interaction",
        "39",
        "27a to 27c",
        "Intended use, in part",
        "Intended use, in part",
    ),
    ("Registration, protocol", "40, 41", "18c, 18d", f"{NOT}: not registered", NOT),
    ("Ethics approval, patient involvement", "", "17, 19", NOT, NOT),
    ("Data and code sharing", "41", "18e, 18f", "Data, How to cite", NOT),
    ("Funding, conflicts of interest", "42", "18a, 18b", NOT, NOT),
)


def checklist(run: Run) -> str:
    """The table for this run; an item that is answered by figures which the run lacks counts as not answered."""
    lacking = _lacking(run)
    rows = []
    for topic, claim, tripod, kermany, other in ROWS:
        where = kermany if run.kermany else other
        rows.append([topic, claim, tripod, NOT if lacking & {where, where.split(":")[0]} else where])
    return markdown_table(["Topic", "CLAIM", "TRIPOD+AI", "Where"], rows)


def _lacking(run: Run) -> set[str]:
    """Answers that this run cannot give: it has not the figures."""
    subgroups = run.metrics.get("subgroups") or any(record.get("subgroups") for record in run.tests.values())
    there = {
        "Subgroups": subgroups,
        "Agreement between renderings": run.metrics.get("renderings") or run.metrics.get("originals"),
        "Results": run.tests,
        "evaluation.html": (run.folder / "evaluation.html").is_file(),
        "Table at the top": run.tests,
        "Calibration": run.decision.calibrated,
        "Operating points": run.decision.points,
        "Data, table of splits": run.data.get("splits"),
        "Data, counts only": run.data.get("splits"),
        "Data, Protocol": run.data.get("splits"),
        "Protocol: class weights": run.data.get("class_weights"),
        "Protocol, metrics.json": run.metrics,
    }
    return {section for section, has in there.items() if not has}
