"""What only Hydra knows of a job or a sweep: its outcome, and where the sweep writes."""

from pathlib import Path
from typing import Any, ClassVar

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepDirectory(Callback):
    """Notes where a sweep or a job writes and what the last job returned, for ``main``'s end."""

    path: ClassVar[Path | None] = None
    job_path: ClassVar[Path | None] = None
    job_status: ClassVar[int | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the directory of the sweep."""
        SweepDirectory.path = Path(config.hydra.sweep.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Drop Hydra's own record, which holds absolute paths; each job has its config.yaml."""
        (Path(config.hydra.sweep.dir) / "multirun.yaml").unlink(missing_ok=True)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the directory of a job."""
        SweepDirectory.job_path = Path(config.hydra.runtime.output_dir)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note what a job returned."""
        status = job_return.return_value
        SweepDirectory.job_status = status if isinstance(status, int) else None
