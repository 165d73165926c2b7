# Written from `_CONTENTS` by: python tests/test_editors.py
from . import errors as errors
from . import gallery as gallery
from .analysis.analyze import analyze as analyze
from .analysis.check import check_system as check_system
from .analysis.compare import compare as compare
from .analysis.diagnose import diagnose as diagnose
from .analysis.influence import Influence as Influence
from .analysis.influence import influence as influence
from .analysis.result import Analysis as Analysis
from .analysis.sights import View as View
from .analysis.views import Views as Views
from .analysis.views import ViewStep as ViewStep
from .analysis.views import views as views
from .bandits.arms import Arms as Arms
from .bandits.arms import arm_path as arm_path
from .bandits.arms import arm_totals as arm_totals
from .bandits.count_chain import CountChain as CountChain
from .bandits.count_chain import count_chain as count_chain
from .bandits.error_estimate import estimate_error as estimate_error
from .bandits.estimate import estimate_entanglement as estimate_entanglement
from .bandits.gittins import gittins_index as gittins_index
from .bandits.improve import improve as improve
from .bandits.lp_priority import lp_priority as lp_priority
from .bandits.mean_field import MeanField as MeanField
from .bandits.mean_field import mean_field as mean_field
from .bandits.paper_error import paper_error as paper_error
from .bandits.simulate import simulate as simulate
from .bandits.whittle import myopic_priority as myopic_priority
from .bandits.whittle import whittle_index as whittle_index
from .data.count import tally as tally
from .data.log import Log as Log
from .data.markov_test import MarkovTest as MarkovTest
from .data.markov_test import markov_test as markov_test
from .data.read import read_logs as read_logs
from .data.tally import Tally as Tally
from .environments.certified import certify_network as certify_network
from .environments.local import Rounded as Rounded
from .environments.modules import read_mlp as read_mlp
from .environments.modules import torch_network as torch_network
from .environments.policy import EnvironmentPolicy as EnvironmentPolicy
from .environments.pymarl import read_pymarl as read_pymarl
from .environments.recorded import record as record
from .environments.snapshot import SnapshotReport as SnapshotReport
from .environments.snapshot import check_snapshot as check_snapshot
from .environments.tabulate import tabulate as tabulate
from .environments.values import Network as Network
from .learning.fold import Learner as Learner
from .learning.joint import JointLSTD as JointLSTD
from .learning.learn import learn as learn
from .learning.linear import LinearLSTD as LinearLSTD
from .learning.linear import LinearTD as LinearTD
from .learning.neural import Neural as Neural
from .learning.result import LocalValues as LocalValues
from .learning.reward import learn_reward as learn_reward
from .learning.tabular import LSTD as LSTD
from .learning.tabular import CountModel as CountModel
from .learning.tabular import MonteCarlo as MonteCarlo
from .learning.td import TD as TD
from .markov.chain import Chain as Chain
from .measures.centre import minimax_centre as minimax_centre
from .measures.entanglement import Entanglement as Entanglement
from .measures.entanglement import entanglement as entanglement
from .measures.median import weighted_l1_median as weighted_l1_median
from .model.bandit import RestlessBandit as RestlessBandit
from .model.exogenous import ExogenousMDP as ExogenousMDP
from .model.factored import FactoredMDP as FactoredMDP
from .model.files import load as load
from .model.files import save as save
from .model.instances import random_bandit as random_bandit
from .model.instances import random_system as random_system
from .model.mdp import JointChain as JointChain
from .model.mdp import MultiAgentMDP as MultiAgentMDP
from .model.policy import IndexPolicy as IndexPolicy
from .model.policy import LocalPolicy as LocalPolicy
from .model.policy import LPUpdatePolicy as LPUpdatePolicy
from .model.policy import NeighbourPolicy as NeighbourPolicy
from .model.policy import TablePolicy as TablePolicy
from .model.policy import UniformPolicy as UniformPolicy
from .model.simulator import Simulator as Simulator
from .model.weakly_coupled import WeaklyCoupledMDP as WeaklyCoupledMDP
from .readers import read_model as read_model
from .readers._gymnasium import from_gymnasium as from_gymnasium
from .readers._objects import from_mdp as from_mdp
from .readers.rddl import from_rddl as from_rddl
from .readers.table import from_table as from_table
from .report.document import read_result as read_result
from .report.result import Result as Result
from .report.sweep import Sweep as Sweep
from .report.sweep import read_sweep as read_sweep
from .report.table import Table as Table
from .runs.certify import certify as certify
from .runs.chunk import Chunk as Chunk
from .runs.chunk import chunks as chunks
from .runs.path import Path as Path
from .runs.signal import SignalLossEstimate as SignalLossEstimate
from .separable.decide import separability as separability
from .separable.decomposition import decompose as decompose
from .separable.local_polytope import local_polytope as local_polytope
from .studies.reproduce import reproduce as reproduce
from .studies.sample_complexity import SampleComplexity as SampleComplexity
from .studies.sample_complexity import sample_complexity as sample_complexity
from .studies.sweep import sweep as sweep
from .studies.sweep import sweep_rows as sweep_rows
from .values.additive import additive_values as additive_values
from .values.blind import SignalLoss as SignalLoss
from .values.blind import signal_loss as signal_loss
from .values.bounds import error_bounds as error_bounds
from .values.budget import error_budget as error_budget
from .values.certificate import certificate as certificate
from .values.control import greedy_policy as greedy_policy
from .values.control import optimal_policy as optimal_policy
from .values.decision import decision_loss as decision_loss
from .values.decomposition import ValueDecomposition as ValueDecomposition
from .values.decomposition import value_decomposition as value_decomposition
from .values.grouping import merge_suggestions as merge_suggestions
from .values.orders import interaction_orders as interaction_orders
from .values.reward_entanglement import reward_entanglement as reward_entanglement
from .values.upper import alp_bound as alp_bound
from .values.upper import lagrangian_bound as lagrangian_bound

__version__: str
__all__: list[str]

# no part of the interface
del analysis  # type: ignore[name-defined]
del bandits  # type: ignore[name-defined]
del cli  # type: ignore[name-defined]
del data  # type: ignore[name-defined]
del environments  # type: ignore[name-defined]
del laws  # type: ignore[name-defined]
del learning  # type: ignore[name-defined]
del markov  # type: ignore[name-defined]
del measures  # type: ignore[name-defined]
del model  # type: ignore[name-defined]
del readers  # type: ignore[name-defined]
del report  # type: ignore[name-defined]
del runs  # type: ignore[name-defined]
del separable  # type: ignore[name-defined]
del studies  # type: ignore[name-defined]
del values  # type: ignore[name-defined]
