#!/bin/sh
# Gives every node of a cluster its key, and every node's file the peer ids that belong to them.
#
#   prepare.sh TEMPLATES DATA OUT
#
# TEMPLATES has one NODE.yaml per node, in which the peer id of each node is a placeholder made of its name. DATA
# has one directory per node, where its key is made unless there is one. The finished files go to OUT. Running
# it again changes nothing. As long as no node has ever run, the files tell all of them to found the cluster: one whose
# disk is lost later has to be taken in by the others. FREEHOLD is the command that runs the program.
set -eu

templates=$1 data=$2 out=$3
: "${FREEHOLD:=node /opt/freehold/node/main.ts}"

script=''
for template in "$templates"/*.yaml; do
  name=$(basename "$template" .yaml)
  mkdir -p "$data/$name"
  # Unquoted on purpose: a command and its arguments.
  # shellcheck disable=SC2086
  peer_id=$($FREEHOLD identity --data "$data/$name")
  script="$script s/12D3KooW\($name\)\{22\}/$peer_id/;"
done

found='cluster: { found: true }'
for template in "$templates"/*.yaml; do
  if [ -e "$data/$(basename "$template" .yaml)/leveldb" ]; then found=''; fi
done

mkdir -p "$out"
for template in "$templates"/*.yaml; do
  { sed "$script" "$template"; echo "$found"; } > "$out/$(basename "$template").new"
  mv "$out/$(basename "$template").new" "$out/$(basename "$template")"
done
