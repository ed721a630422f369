@echo off
rem Installs the course from this folder, without a network, and checks it: double-click it.
rem What is there already stays as it is. Another folder than kdkit-course in yours: install.bat FOLDER
setlocal
set "TARGET=%USERPROFILE%\kdkit-course"
if not "%~1"=="" set "TARGET=%~1"

set "FITS=import ensurepip, sys; sys.exit('.'.join(sys.version.split('.')[:2]) not in '@PYTHONS@'.split())"
set "PYTHON="
for %%V in (@PYTHONS@) do if not defined PYTHON (py -%%V -c "%FITS%" >nul 2>&1 && set "PYTHON=py -%%V")
if not defined PYTHON (python -c "%FITS%" >nul 2>&1 && set "PYTHON=python")
if not defined PYTHON (
    echo This folder is for Python @PYTHONS@, and none was found: python.org has it.
    pause
    exit /b 1
)

if not exist "%TARGET%" mkdir "%TARGET%"
for %%P in (notebooks notebooks-short data jupyter) do (
    if not exist "%TARGET%\%%P" xcopy /e /i /q "%~dp0%%P" "%TARGET%\%%P" >nul
)
copy /y "%~dp0open.bat" "%TARGET%" >nul

echo Installing into %TARGET%; this takes some minutes.
%PYTHON% -m venv "%TARGET%\.venv" || goto failed
cd /d "%TARGET%"
set "WHEELS=%~dp0wheels"
.venv\Scripts\python -m pip install --quiet --no-index --find-links "%WHEELS%" -r "%WHEELS%\requirements.txt" || goto failed

if not defined KDKIT_DATA set "KDKIT_DATA=%TARGET%\data"
.venv\Scripts\python -m kdkit doctor --workshop

set "ANSWER=n"
set /p "ANSWER=Open the course in JupyterLab now (y or n)? "
if /i "%ANSWER%"=="y" call open.bat
echo Later: double-click %TARGET%\open.bat
pause
exit /b 0

:failed
echo That did not work. Show your lecturer what stands above.
pause
exit /b 1
