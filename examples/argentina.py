"""Output and interest rate of Argentina as two agents: QuantEcon's discretised VAR(1), read by `me.from_mdp`.

The numbers are those of S. Schmitt-Grohe and M. Uribe (Journal of Political Economy 124, 2016, 1466-1514), as the
documentation of `quantecon.markov.discrete_var` quotes them.
"""

import scipy.linalg
from quantecon.markov import discrete_var

import markov_entanglement as me


def economy():
    """Each of the two takes one of five values; does either move on its own?"""
    persistence = [[0.7901, -1.3570], [-0.0104, 0.8638]]
    shocks = scipy.linalg.sqrtm([[0.0012346, -0.0000776], [-0.0000776, 0.0000401]])
    chain = discrete_var(persistence, shocks, [5, 5], std_devs=1.0, sim_length=100_000, random_state=1)
    return me.from_mdp(chain)
