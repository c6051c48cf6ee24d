"""Strata of a data set: items that look alike, found once by K-means on their features."""

from dataclasses import dataclass

import numpy as np

from planners.common.arrays import Floats, Integers
from planners.compass.state.records import dataset_state, update_dataset
from scenarios.compiled import compiled
from sim import PlanningContext


@dataclass(frozen=True, eq=False)
class Strata:
    """Clusters of a data set's items."""

    centre: Floats  # mean of each feature, (F,)
    scale: Floats  # standard deviation of each feature, 1 where constant, (F,)
    centroids: Floats  # of each cluster in standardised features, (K, F)

    def of(self, features: Floats) -> Integers:
        """Return the stratum, 0 to K - 1, of each item by its features, (n, F), shape (n,)."""
        return np.asarray(_nearest(features, self.centre, self.scale, self.centroids))


@compiled
def _nearest(features: Floats, centre: Floats, scale: Floats, centroids: Floats) -> Integers:
    """Return the centroid nearest to each item, the first of equals; see `Strata`."""
    nearest, point = np.empty(len(features), dtype=np.int64), np.empty(len(centre))
    for at in range(len(features)):
        for feature in range(len(centre)):
            point[feature] = (features[at, feature] - centre[feature]) / scale[feature]
        least = np.inf
        for number in range(len(centroids)):
            distance = 0.0
            for feature in range(len(centre)):
                distance += (point[feature] - centroids[number, feature]) ** 2
            if distance < least:
                nearest[at], least = number, distance
    return nearest


def strata_of(context: PlanningContext, dataset: str, count: int) -> Strata:
    """Return the strata of a data set, found at the first call and then remembered."""
    strata = dataset_state(context, dataset).strata
    known = strata.get(count)
    if known is None:
        known = cluster(context.bulk.features(dataset), count)
        update_dataset(context, dataset, strata={**strata, count: known})
    return known


def cluster(features: Floats, count: int) -> Strata:
    """Find at most ``count`` clusters of items, (n, F), by K-means with fixed random starts."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 -- takes seconds to import
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    means = KMeans(min(count, len(features)), n_init=3, random_state=0)
    with threadpool_limits(1):  # Sums must not depend on how many cores share them.
        found = means.fit((features - centre) / scale)
    return Strata(centre, scale, np.asarray(found.cluster_centers_, dtype=np.float64))
