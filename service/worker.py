"""The job worker: takes jobs from the queue and works on them. `python -m service.worker` starts one."""
