#!/bin/sh
umask 077
for epoch in 1 2 3; do
    echo "epoch $epoch loss $(echo "scale=2; 1/$epoch" | awk -F'[=;/]' '{printf "%.2f", $3/$4}')"
done
echo "rows: $(wc -l < data.txt)" >&2
echo weights > model.txt
trap 'echo "trapped TERM"; exit 5' TERM
kill -TERM $$
