"""Registers c7n-secops when, and only when, a process imports ``c7n.policy``.

Run by ``c7n_secops.pth`` (CPython up to 3.17) or ``c7n_secops.start`` (PEP 829) at start-up, so
it imports nothing that the interpreter has not loaded already. ``C7N_SECOPS=off`` switches it off.
"""

import os
import sys

TRIGGER = "c7n.policy"
SWITCH = "C7N_SECOPS"


def enabled():
    return os.environ.get(SWITCH, "on").strip().lower() not in ("off", "0", "no", "false")


def register():
    """Register, or say why not: a plug-in must never take stock Custodian down with it."""
    try:
        from c7n_secops.registration import register as register_elements

        register_elements()
    except Exception as error:
        import logging

        logging.getLogger("custodian.c7n_secops").error(
            "c7n-secops is installed but could not be loaded, so its filters, actions and modes "
            "are unknown to this run: %s: %s. Stock policies are not affected. "
            "Fix the installation, or set %s=off to silence this.",
            type(error).__name__, error, SWITCH,
        )  # fmt: skip


class PolicyImportHook:
    """A meta path finder that lets the real finders work and adds a step after the trigger."""

    def find_spec(self, name, path=None, target=None):
        if name != TRIGGER:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                self.register_after(spec.loader)
                return spec
        return None

    @staticmethod
    def register_after(loader):
        execute = loader.exec_module

        def exec_module(module):
            execute(module)
            register()

        loader.exec_module = exec_module


def install():
    if not enabled():
        return
    if TRIGGER in sys.modules:
        register()
    elif not any(isinstance(finder, PolicyImportHook) for finder in sys.meta_path):
        sys.meta_path.insert(0, PolicyImportHook())
