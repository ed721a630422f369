@echo off
rem Opens the course, where it was installed, in JupyterLab.
setlocal
cd /d "%~dp0"
if not defined KDKIT_DATA set "KDKIT_DATA=%~dp0data"
set "JUPYTER_CONFIG_PATH=%~dp0jupyter"
.venv\Scripts\python -m jupyterlab notebooks\00_start_here.ipynb
