#!/bin/sh
# What is missing in /config and /data is laid down; what is there is left as it is.
set -eu
danzar init
exec danzar "$@"
