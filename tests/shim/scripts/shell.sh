# What shells do with descriptors, signals, children and files. Run by bash.
set -u
echo "args: $#, $0" | sed 's/, .*/, NAME/'
f() { echo "in f: $*"; return 7; }
f a 'b c' || echo "f gave $?"
x=$(echo sub; exit 3) || echo "substitution gave $?, $x"
echo one > out; echo two >> out; cat < out; wc -c < out
exec 7> seven; echo to-seven >&7; exec 7>&-; cat seven
exec 8<> eight; echo eight >&8; exec 8>&-; cat eight
cat <<EOF | tr a-z A-Z
here document $((6 * 7))
EOF
cat <<< "here string"
diff <(echo a; echo b) <(echo a; echo c) | sort
echo fan | tee one.txt two.txt three.txt | cat; cat one.txt two.txt three.txt
(exit 4); echo "subshell $?"
sh -c 'kill -9 $$' 2>/dev/null; echo "killed $?"
sh -c 'kill -TERM $$' 2>/dev/null; echo "terminated $?"
set -o pipefail; false | true; echo "pipefail $?"; true | true; echo "pipe ${PIPESTATUS[*]}"
trap 'echo trapped' USR1; kill -USR1 $$; trap - USR1
sleep 0.2 & p=$!; wait $p; echo "waited $?"
(sleep 0.05; exit 5) & wait -n; echo "wait -n $?"
coproc { read -r line; echo "coproc got $line"; }; echo hello >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"; wait
mkdir -p d/e/f && touch d/e/f/g && mv d/e d/h && ln -s h/f d/link && ls -R d && rm -r d && ls
printf '%s\n' b a c | sort -o sorted; cat sorted
mkfifo fifo; (echo through fifo > fifo &); cat fifo; rm fifo
echo data > old; ln old new; chmod 600 old; stat -c '%a %h %s' new; cp -p old copy; cmp old copy && echo same
sed -i s/data/DATA/ old; cat old; install -m 755 copy prog; stat -c %a prog
tar cf - old copy | tar tf -; gzip -kn copy; zcat copy.gz
find . -name .vcr -prune -o -name 'c*' -print | sort; find . -name .vcr -prune -o -type f -exec grep -l DATA {} + | sort
ulimit -n 64; ulimit -n; exec 60< old; read -r line <&60; echo "$line"; exec 60<&-
for i in 1 2 3 4 5; do (echo $i > n$i) & done; wait; cat n1 n2 n3 n4 n5
env -i A=1 /usr/bin/env; env -i /bin/sh -c 'echo "left: $(/usr/bin/env | grep -v ^PWD= | grep -v ^_= | grep -v ^SHLVL=)"'
ls /proc/self/fd | wc -l
sh -c 'exec ls /proc/self/fd' 3< old 4> four | sort -n | tr '\n' ' '
timeout 0.2 sleep 5; echo "timeout $?"
nohup true < /dev/null > /dev/null 2>&1; echo "nohup $?"
setsid -w sh -c 'exit 6'; echo "setsid $?"
./nothing 2>/dev/null; echo "missing $?"; : > noexec; ./noexec 2>/dev/null; echo "no right $?"
printf '#!/bin/sh\necho script $1\nexit 9\n' > script; chmod +x script; ./script arg; echo "script $?"
xargs -n 1 -P 3 sh -c 'exit 0' < n1; echo "xargs $?"
dd if=/dev/zero of=big bs=1000 count=1000 2>/dev/null; wc -c < big; truncate -s 500 big; md5sum big; head -c 100000 /dev/zero | wc -c
yes | head -n 3; echo "closed pipe ${PIPESTATUS[*]}"
exec echo the end
