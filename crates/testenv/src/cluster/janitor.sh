# Usage: sh -c … janitor FOLDER BRIDGE. Waits until nobody holds the write end of its input, that is until the process that
# started the cluster and all machines are gone, then takes away what those leave on the host.
cat >/dev/null
# The kernel takes away the cables of a machine that is gone at its leisure. The bridge goes last: who has it has the network.
for link in /sys/class/net/"$2"m* "$2"; do ip link delete "${link##*/}" 2>/dev/null; done
for group in /sys/fs/cgroup/*/"${1##*/}"; do
	# The kernel needs a moment to see that a group is empty.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -d "$group" ] || break
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.2
	done
done
rm -rf -- "$1"
