"""Makes fire.mat: fire management of a threatened species, as Possingham and Tuck published it (MODSIM 1997, vol. 2,
pp. 813-817), for one patch, with the numbers of pymdptoolbox's worked example: 7 classes of abundance, 13 of years
since the last fire, a class is kept with probability 1/2. Axes as MDPtoolbox has them: P(from, to, action), R(from).
"""

import sys

import numpy as np
from scipy.io import savemat

CLASSES, YEARS, STAY = 7, 13, 0.5

suitable = np.interp(
    np.arange(YEARS), [0, 5, 10, 12], [0.0, 1.0, 0.5, 0.5]
)  # of a patch, by years since fire
P = np.zeros((CLASSES, YEARS, CLASSES, YEARS, 2))
for x in range(CLASSES):
    for year in range(YEARS):
        for burn in (0, 1):
            after = 0 if burn else min(year + 1, YEARS - 1)
            up = (1 - STAY) * suitable[year]
            moves = [(x, STAY), (min(x + 1, CLASSES - 1), up), (x - 1, 1 - STAY - up)]
            for to, p in moves if x else [(0, 1.0)]:
                P[x, year, max(to - burn, 0), after, burn] += p
R = np.repeat(np.arange(CLASSES) > 0, YEARS).astype(float)  # 1 while the species is there
n = CLASSES * YEARS
savemat(sys.argv[1], {"P": P.reshape(n, n, 2), "R": R[:, None]}, do_compression=True)
