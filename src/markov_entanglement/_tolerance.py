"""The only place for numerical tolerances and size limits."""

#: A probability row may miss 1 by this much; it is then rescaled, once, at the border.
ROW_SUM = 1e-8
#: The same where the numbers came in single precision and the row is long.
ROW_SUM_MOST = 5e-4
#: Rows nearer to 1 than this are left as they are, so that rescaling is idempotent (bit-equal round trips).
ROW_SUM_EXACT = 1e-14
#: Entries below zero by less than this are rounding and become 0.
NEGATIVE = 1e-12
#: Agent-wise or joint residual up to which a system is called separable.
SEPARABLE = 1e-10
#: Gap from which a system is called entangled; between the two: undecided.
ENTANGLED = 1e-8
#: Sums of costs may exceed a limit by this, relative to it and to the largest sum: rounding.
RESOURCE = 1e-12
#: Two cumulative weights closer than this (relative to the total) are the same level.
LEVEL_TIE = 1e-13
#: Primal and dual feasibility asked of every linear program, relative to its costs.
LP = 1e-10
#: Certified gap of the minimax centre.
CENTRE_GAP = 1e-9
#: Relative residual asked of every linear solve; the one reached is reported.
SOLVE = 1e-12
#: Relative residual of iterated values of which a witness is only chosen.
WITNESS = 1e-3
#: A stationary law of at most this residual, ||mu P - mu||_1, is accepted.
STATIONARY = 1e-10
#: A bound ||nu - mu||_1 of a stationary law from which nothing better is looked for, and up to which it is accepted.
STATIONARY_SURE = 1e-8
STATIONARY_ERROR = 1e-6
#: Steps that a law of a large chain may take to settle.
POWER_STEPS = 200
#: Rounding of one step of a chain, relative to the terms that it adds.
STEP_ROUNDING = 5e-15

#: Upper limit of one array or factor that an exact analysis may allocate.
BYTES = 2 * 1024**3
#: Upper limit of the arrays that list the pairs of one chain, together.
CHAIN_BYTES = 3 * 1024**3
#: Numbers of a linear program with a row for every feasible joint action in every joint state.
ALP_ENTRIES = 2e7
#: Predicted fill (nonzeros) up to which a sparse LU factor is worth its memory and time.
LU_FILL = 2e7
#: Unknowns up to which a matrix that is not sparse has a dense factor.
LU_DENSE = 1500
#: Joint pairs from which one more array of them is felt.
LARGE = 1_000_000
#: Numbers of all laws, read key by key, that an analysis measures unasked (ten minutes).
LAWS_UNASKED = 1e10
#: Product kernels with more entries than this stay products.
EXPLICIT_KERNEL = 4e6

# Indices and mean field of restless bandits.
#: Two indices closer than this, relative to the largest, are one index (equal priority, one class).
INDEX_TIE = 1e-10
#: A reward lower than all others of its arm by more than this times their spread means "not allowed".
FORBIDDEN = 100.0
#: Growth of an advantage in the subsidy that counts as growth, relative to the steepest.
INDEX_SLOPE = 1e-9
#: Ratio of successive determinants below which a policy of an arm is taken to be multichain.
MULTICHAIN = 1e-10
#: A mean-field state this near to a boundary of its affine piece lies on the boundary.
PIECE = 1e-9
#: Two mean-field states closer than this, in the largest coordinate, are the same.
SAME_STATE = 1e-7
#: A standard deviation below this, relative to the numbers that it is made from, is rounding.
FLOOR = 1e-13
#: Standard deviations to the edge of an affine piece from which limit constants predict.
EDGE = 3.0
#: Reciprocal condition below which the equation of a piece is singular (a continuum of solutions).
SINGULAR = 1e-12
#: A norm shrinks when it does so by more than this.
CONTRACTION = 1e-9
#: Joint pairs up to which a shared reward is split by linear programming.
LAD_PAIRS = 50_000
#: Joint pairs times agents, and different local pairs, up to which the split learned from a path is made unique; joint
#: pairs times agents squared up to which there is one.
LAD_UNIQUE = 100_000, 500
LAD_WORK = 4e9
#: Numbers of distinct joint pairs of runs up to which their split, made once for each run, is by linear programming.
LAD_RUNS = 20_000
#: Joint pairs of runs to which a shared reward is fitted where nothing else is asked.
LAD_SAMPLES = 200_000
#: Relative gap, most steps, distance of the start from the limits, ridge and rank of the interior point method.
DEVIATIONS_GAP = 1e-10
DEVIATIONS_STEPS = 60
DEVIATIONS_INSIDE = 0.01
DEVIATIONS_RIDGE = 1e-14
DEVIATIONS_RANK = 1e-10
#: Its weights run from the first to the second number; rarer pairs count as that rare.
LAD_RANGE = (1e-8, 1e4)
#: Multipliers of it this near to a limit are at it; its inequalities may be missed by the slack.
LAD = 1e-9
LAD_SLACK = 1e-12

#: Directions of joint features whose part of the largest, in squares along a run, is below this are not there.
JOINT_RANK = 1e-12

# The exact count chain (bandits/count_chain.py).
#: Arms of one type that an exact count space may have (int16 counts, binomial tables of N^2/2 entries).
COUNT_ARMS = 16000
#: Count states up to which the transition matrix is formed.
COUNT_DENSE = 1500
#: Count states from which the size of the operator is predicted before anything is built.
COUNT_PREDICT = 10_000
#: Count states of one type, for each arm and local state of it, up to which types are replaced one by one.
COUNT_TYPE = 8
#: Law entries that the search for explaining partners may touch.
BREAKDOWN_WORK = 3e9
#: Optimal prices of a budget closer than this, relative to the price, are one price.
PRICE = 1e-7
#: Local states over all arm types up to which the mean field forms matrices (dense spectra, norms, proofs, cycles).
MEAN_FIELD_STATES = 400
#: Words over the affine pieces that the search for cycles may solve.
CYCLE_WORDS = 4000
#: Products of affine pieces (of dimension 4; fewer of larger ones) that a search for a contraction forms.
CONTRACTION_NODES = 30_000

#: Unknowns of all linear programs that the plans of a policy may take (five minutes).
PLANNED = 1e7

# Joint distances, additive values and certificates.
#: Entries (rows times next joint pairs) of the linear program of a joint distance (16 x 16 takes a minute).
JOINT_ENTRIES = 100_000
#: The same when nobody asked for the distance by name: seconds, for two agents and for more.
JOINT_ENTRIES_UNASKED = (15_000, 5_000)
#: Singular values of the additive functions below this, relative to the largest, are collinearity.
ADDITIVE_RANK = 1e-10
#: The same of their second moments, whose own rounding is larger.
MOMENT_RANK = 1e-12
#: A candidate that misses its projection on additive functions by less than this, relative, is additive.
ADDITIVE = 1e-9
#: Entries of functions of several agents up to which they are looked for unasked.
ORDERS_UNASKED = 2e6
#: The same of the feasible actions behind a decision loss; states up to which agents are ranked.
DECISIONS_UNASKED = 5e6
RANK_STATES = 2000
#: Two values closer than this, relative to the largest, are a tie.
TIE = 1e-9
#: Pairs whose joint functions are looked for.
BEST_PAIRS = 3
#: Rewards whose discounted mean is this many times their span are shifted before anything is solved.
FAR_FROM_ZERO = 1000.0
#: Largest size of a reward: values, their bounds and sums over agents stay finite.
REWARD_SIZE = 1e250
#: Joint states times joint actions up to which a reward that is a function becomes a table.
REWARD_CALLS = 1_000_000
#: Half the distance of 1 from the next double: what one rounding may lose, relative.
EPSILON = 2.0**-53
#: A function on a large chain that varies by less than this, relative to the first one, is carried on as a constant,
#: and the brackets are wider by how much it varies.
STEADY = 1e-8
#: Outward rounding allowance of a certificate, relative to the candidate and the rewards.
ROUNDING = 1e-14

# Separability (separability/).
#: A verdict needs a residual this many times below the tolerance, or a gap this many times above it.
VERDICT_MARGIN = 10.0
#: Smallest tolerance of a verdict that double precision can honour.
VERDICT_TOLERANCE = 1e-12
#: Entries of a joint transition matrix that a decision may hold (128 MiB).
SEPARABLE_ENTRIES = 2**24
#: Entries that the equations of all sets of agents may read, over all sets (a minute).
SEPARABLE_WORK = 2**32
#: Slices whose part independent of the others is smaller than this, relative to the largest, add no rank.
SLICE_RANK = 1e-13
#: Length of the slices from which LU finds the independent ones, and its threshold.
LONG_SLICES = 500
SLICE_RANK_LU = 1e-12
#: Negative entries of a factor above minus this, relative to its largest entry, are rounding and are not shifted.
SHIFT = 1e-15
#: Coordinates of an explicit decomposition below this are rounding.
COORDINATE = 1e-16
#: Joint pairs of one local pair among which the widest pair of laws is searched exhaustively.
PAIRWISE = 2048
#: Columns from which these programs start with an interior point.
SIMPLEX_COLUMNS = 2000
#: Entries of a completed transition (restricted support, three or more agents) that a program may have.
COMPLETION_ENTRIES = 20_000

# Simulation of restless bandits (bandits/counts.py, arms.py, estimate.py).
#: Arms up to which counts are exact in float64 probabilities and binomial draws.
EXACT_COUNTS = 2**52
#: Maps of all agents but one that the search for a violated Bell inequality may enumerate, and how it goes about it:
#: gain entries held at once, and products kept per round.
PRICED_MAPS = 100_000
PRICED_BLOCK = 2_000_000
PRICED_KEPT = 64
#: Linear program over products of deterministic maps: rows, products that are all put in, rounds of generation.
POLYTOPE_ROWS = 1100
POLYTOPE_ALL = 4096
POLYTOPE_ROUNDS = 300
#: Dimension of zero-sum vectors up to which a contraction is searched for.
CONTRACTION_SIZE = 64
#: Cells up to which the spectrum of the linearised counts is taken whole.
SPECTRUM = 1000
#: Default steps of one simulated estimate, and steps dropped before it (the paper's 5N and N if smaller).
ESTIMATE_STEPS = 200_000
ESTIMATE_BURN_IN = 20_000
#: Agent-steps that one question to agents that are stepped one by one may take (5 to 10 seconds).
AGENT_STEPS = 4e8
#: Local pairs of a group of agents that are only stepped.
GROUP_PAIRS = 1000
#: Pairs of agents that are tried as one along runs, and multiplications that their local values may take (minutes).
MERGE_PAIRS = 300
MERGE_WORK = 3e11
#: Agent-steps of all rollouts up to which more of them are taken where the first ones leave a verdict open.
GROWTH_STEPS = 2e9
#: Starts that one certificate may take.
MOST_STARTS = 10**7
#: Arm-steps that the paper's recipe for the error may simulate.
ARM_STEPS = 1e11
#: Count states up to which questions about a bandit are answered exactly unless asked otherwise.
COUNT_EXACT = 6000

# Reproduction of the paper's figures (studies/).
#: Sampled errors up to this, per arm, are rounding: no rare event was met.
REPRODUCE_ROUNDING = 1e-13
#: Mass of recurrent states that the solver cannot tell from 0.
LEAST_MASS = 1e-250

# State reduction (markov/elimination.py).
#: States up to which a stationary law is always found by elimination without subtraction.
GTH_STATES = 200
#: Multiplications that such an elimination may take where other ways fail (ten seconds).
GTH_WORK = 3e11
#: Products below this may lose digits or vanish.
LEAST_RATE = 1e-290

# Environments (environments/).
#: Different local states that one agent of an environment may show.
LOCAL_STATES = 100_000
#: Steps that going back by a deep copy is counted as, where draws and rollouts share a number of steps.
COPY_STEPS = 20

# Logs (data/).
#: Contexts by outcomes of one table of counts that is laid out.
LOG_CELLS = 5e7
#: Cells of all tables that one permutation test deals, and of those whose median is taken.
LOG_DEALT = 5e8
LOG_MEDIANS = 1e8
#: Steps by agents of a log that is held in memory.
LOG_NUMBERS = 2e8
#: Different joint pairs, and entries of one table, that are counted; cells of a table that is counted as it stands.
LOG_JOINT = 500_000
LOG_COUNTS = 5_000_000
LOG_DENSE = 2**20
