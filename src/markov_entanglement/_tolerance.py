"""The only place for numerical tolerances and size limits."""

from __future__ import annotations

#: A probability row may miss 1 by this much; it is then rescaled, once, at the border.
ROW_SUM = 1e-8
#: Rows nearer to 1 than this are left as they are, so that rescaling is idempotent (bit-equal round trips).
ROW_SUM_EXACT = 1e-14
#: Entries below zero by less than this are rounding and become 0.
NEGATIVE = 1e-12
#: Agent-wise or joint residual up to which a system is called separable.
SEPARABLE = 1e-10
#: Gap from which a system is called entangled; between the two: undecided.
ENTANGLED = 1e-8
#: Two cumulative weights closer than this (relative to the total) are the same level.
LEVEL_TIE = 1e-13
#: Certified gap of the minimax centre.
CENTRE_GAP = 1e-9
#: Relative residual asked of every linear solve; the one reached is reported.
SOLVE = 1e-12
#: A stationary law of at most this residual, ||mu P - mu||_1, is accepted.
STATIONARY = 1e-10

#: Upper limit of one array or factor that an exact analysis may allocate.
BYTES = 2 * 1024**3
#: Predicted fill (nonzeros) up to which a sparse LU factor is worth its memory and time.
LU_FILL = 2e7
#: Product kernels with more entries than this stay Kronecker products.
EXPLICIT_KERNEL = 4e6
