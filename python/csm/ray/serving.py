# SPDX-License-Identifier: Apache-2.0
"""csm serve on Ray Serve: a process of it a replica, and every route handed through."""

from __future__ import annotations

from typing import Any

from ray import serve

from ..proxy import Proxy


class _Replica:
    def __init__(self, options: dict[str, Any]) -> None:
        self._proxy = Proxy(**options)

    def __serve_build_asgi_app__(self) -> Proxy:
        return self._proxy

    def check_health(self) -> None:
        self._proxy.check()


def serve_app(*, num_replicas: int | str | None = None, num_cpus: float | None = None,
              num_gpus: float | None = None, deployment: dict[str, Any] | None = None,
              **options: Any) -> serve.Application:
    """An application for `ray.serve.run` that speaks the routes of docs/SERVER.md.

    Parameters
    ----------
    num_replicas : processes of csm serve; "auto": Ray Serve's autoscaling
    num_cpus, num_gpus : of each; fractions share a device. Without `threads` it has as many
        threads as CPUs
    deployment : more of serve.deployment's arguments (autoscaling_config, max_ongoing_requests, ...)
    options : of `csm serve`, under the same names (model_path, engine, device, max_streams,
        api_key_file, ...). Ray Serve listens, so there are no host, port, TLS and Wyoming

    A replica whose process is gone is unhealthy, and Ray Serve replaces it. One that is taken away
    finishes what it is saying.
    """
    if "threads" not in options and num_cpus:
        options["threads"] = max(1, int(num_cpus))
    settings: dict[str, Any] = {
        "name": "csm", "num_replicas": num_replicas, "health_check_period_s": 2,
        "max_ongoing_requests": 320,  # those that speak and those that wait, as csm serve has it
        "ray_actor_options": {"num_cpus": num_cpus, "num_gpus": num_gpus}, **(deployment or {})}
    return serve.deployment(serve.ingress()(_Replica)).options(**settings).bind(options)
