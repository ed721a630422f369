@echo off
rem Installs the course from this folder, without a network, and checks it: double-click it.
rem Notebooks that you have stay as they are. Another folder than kdkit-course in yours: install.bat FOLDER
setlocal
set "TARGET=%USERPROFILE%\kdkit-course"
if not "%~1"=="" set "TARGET=%~f1"

set "FITS=import ensurepip, sys; v = sys.version_info"
set "FITS=%FITS%; sys.exit(v < (3, 11, 4) or f'{v[0]}.{v[1]}' not in '@PYTHONS@'.split())"
set "PYTHON="
for %%V in (@PYTHONS@) do if not defined PYTHON (py -%%V -c "%FITS%" >nul 2>&1 && set "PYTHON=py -%%V")
if not defined PYTHON (python -c "%FITS%" >nul 2>&1 && set "PYTHON=python")
if not defined PYTHON (
    echo This folder is for Python @PYTHONS@@LEAST@, and none was found: python.org has it.
    pause
    exit /b 1
)

if not exist "%TARGET%" (mkdir "%TARGET%" || goto failed)
for %%P in (notebooks notebooks-short data jupyter) do (
    if not exist "%TARGET%\%%P" (
        if exist "%TARGET%\%%P.part" rmdir /s /q "%TARGET%\%%P.part"
        xcopy /e /i /q "%~dp0%%P" "%TARGET%\%%P.part" >nul || goto failed
        move "%TARGET%\%%P.part" "%TARGET%\%%P" >nul || goto failed
    )
)
copy /y "%~dp0open.bat" "%TARGET%" >nul || goto failed

echo Installing into "%TARGET%"; this takes some minutes.
%PYTHON% -m venv "%TARGET%\.venv" || goto failed
cd /d "%TARGET%" || goto failed
set "WHEELS=%~dp0wheels"
set "INSTALL=.venv\Scripts\python -m pip install --quiet --no-index"
%INSTALL% --find-links "%WHEELS%" -r "%WHEELS%\requirements.txt" || goto failed
rem pip would keep the kdkit of an earlier folder, if it has the same version
%INSTALL% --find-links "%WHEELS%" --no-deps --force-reinstall kdkit || goto failed

if not defined KDKIT_DATA set "KDKIT_DATA=%TARGET%\data"
.venv\Scripts\python -m kdkit doctor --workshop

set "ANSWER=n"
set /p "ANSWER=Open the course in JupyterLab now (y or n)? "
if /i "%ANSWER%"=="y" call open.bat
echo Later: double-click "%TARGET%\open.bat"
pause
exit /b 0

:failed
echo That did not work. Show your lecturer what stands above.
pause
exit /b 1
