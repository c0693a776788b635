"""Step 2, scaling laws: the contract of a law file, priors, the catalogue. Hands on `Law`."""

from bayes_scaling.laws.arithmetic import Array as Array
from bayes_scaling.laws.arithmetic import power as power
from bayes_scaling.laws.arithmetic import root as root
from bayes_scaling.laws.catalogue import available_laws as available_laws
from bayes_scaling.laws.catalogue import load_law as load_law
from bayes_scaling.laws.columns import Column as Column
from bayes_scaling.laws.law import Curve as Curve
from bayes_scaling.laws.law import Features as Features
from bayes_scaling.laws.law import Law as Law
from bayes_scaling.laws.law import Published as Published
from bayes_scaling.laws.law import Quantity as Quantity
from bayes_scaling.laws.parameters import E_OF_LANGUAGE as E_OF_LANGUAGE
from bayes_scaling.laws.parameters import IRREDUCIBLE as IRREDUCIBLE
from bayes_scaling.laws.parameters import LOSS_AT_CENTRE as LOSS_AT_CENTRE
from bayes_scaling.laws.parameters import Derived as Derived
from bayes_scaling.laws.parameters import Parameter as Parameter
from bayes_scaling.laws.parameters import Role as Role
from bayes_scaling.laws.priors import read_priors as read_priors
