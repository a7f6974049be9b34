# SPDX-License-Identifier: BSD-2-Clause-Patent
"""tools/mutate: planted defects, and which tests notice them."""
