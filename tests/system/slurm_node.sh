#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: it lives in one folder, and needs no systemd and no other machine.
#
#   apt-get install --no-install-recommends slurmctld slurmd slurm-client munge     # Debian, Ubuntu
#   tests/system/slurm_node.sh start FOLDER      # then: export SLURM_CONF=FOLDER/slurm.conf
#   tests/system/slurm_node.sh stop FOLDER
#
# FOLDER has to be a short path (sockets lie in it) that only you can write to.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

start() {
    local folder=$1 host port
    mkdir -p "$folder/state" "$folder/spool" && chmod -R 700 "$folder"
    host=$(hostname -s)
    port=$((20000 + RANDOM % 10000))
    head -c 128 /dev/urandom >"$folder/munge.key" && chmod 600 "$folder/munge.key"
    cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
KillWait=5
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF="$folder/slurm.conf"
    munged --socket="$folder/munge.sock" --key-file="$folder/munge.key" --force \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF" -N "$host"
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --format %t 2>/dev/null)" = idle ]; then return; fi
        sleep 0.2
    done
    echo "the node did not become ready:" >&2
    sinfo >&2 || true
    tail -n 20 "$folder"/*.log >&2
    stop "$folder"
    exit 1
}

stop() {
    local folder=$1 name pid
    for name in slurmd slurmctld munged; do
        if [ -s "$folder/$name.pid" ]; then
            pid=$(cat "$folder/$name.pid")
            kill "$pid" 2>/dev/null || true
            for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
        fi
    done
}

case "${1:-} ${2:+folder}" in
"start folder") start "$(realpath -m "$2")" ;;
"stop folder") stop "$(realpath -m "$2")" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
