# What nanobind's stub of _csm leaves out: what was not made with it.
_csm.__prefix__:
    class EngineError(RuntimeError): ...
    __version__: str
