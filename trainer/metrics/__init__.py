"""Accuracy figures as pure functions: arrays in, frozen records out. numpy only."""

from trainer.metrics.all_pairs import AllPairs, all_pairs_verification
from trainer.metrics.clicks import Clicks, clicks_to_clean
from trainer.metrics.clustering import (
    ClusteringFigures,
    Contingency,
    PrecisionRecall,
    bcubed,
    clustering_figures,
    contingency,
    normalised_mutual_information,
    pairwise,
)
from trainer.metrics.detection import (
    DetectionFigures,
    PhotoMatch,
    average_precision,
    detection_figures,
    iou_matrix,
    match_photo,
)
from trainer.metrics.identification import DetCurve, OpenSet, open_set_identification
from trainer.metrics.verification import (
    FoldAccuracy,
    Roc,
    TarAtFar,
    accuracy_by_fold,
    area_under,
    best_threshold,
    interleaved_halves,
    roc_curve,
    share_at_or_above,
    tar_at_far,
    thresholds_at_far,
)

__all__ = [
    "AllPairs",
    "Clicks",
    "ClusteringFigures",
    "Contingency",
    "DetCurve",
    "DetectionFigures",
    "FoldAccuracy",
    "OpenSet",
    "PhotoMatch",
    "PrecisionRecall",
    "Roc",
    "TarAtFar",
    "accuracy_by_fold",
    "all_pairs_verification",
    "area_under",
    "average_precision",
    "bcubed",
    "best_threshold",
    "clicks_to_clean",
    "clustering_figures",
    "contingency",
    "detection_figures",
    "interleaved_halves",
    "iou_matrix",
    "match_photo",
    "normalised_mutual_information",
    "open_set_identification",
    "pairwise",
    "roc_curve",
    "share_at_or_above",
    "tar_at_far",
    "thresholds_at_far",
]
