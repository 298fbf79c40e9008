# A stand-in for a VMM with its guest, in one small process: what hostd's tests run thousands of times where QEMU with a
# real guest would take hours. See driver.ts.
#
# It opens its TAP, its disks and its sockets, gives root up, and waits; it counts once it is let run. Its memory is a
# boot id, a count, and what it last wrote to its data disk. `--witness` names a file that outlives it, with one line for
# everything that must not happen twice.
use strict;
use warnings;
use Socket;

my $TUNSETIFF    = 0x400454ca;
my $IFF_TAP      = 0x0002;
my $IFF_NO_PI    = 0x1000;
my $TICK_SECONDS = 0.02;
my $STATE_BYTES  = 200_000;
my $NOTE_BYTES   = 512;

my ( %option, $incoming );
while (@ARGV) {
    my $name = shift;
    if ( $name eq '--incoming' ) { $incoming = 1; next; }
    $name =~ /^--(vm|control|agent|console|root|uid|tap|witness|disk|drain-ms)$/ or die "unknown option $name\n";
    my $key = $1;
    $option{$key} = shift // die "$name needs a value\n";
}
for (qw(vm control agent console root uid tap witness)) { defined $option{$_} or die "--$_ is missing\n"; }

$SIG{PIPE} = 'IGNORE';
$SIG{$_} = 'IGNORE' for qw(HUP INT);

open( my $console, '>>', $option{console} ) or die "cannot open $option{console}: $!\n";
open( my $witness, '>>', $option{witness} ) or die "cannot open $option{witness}: $!\n";
open( my $tun, '+<', '/dev/net/tun' ) or die "cannot open /dev/net/tun: $!\n";
my $disk;
if ( defined $option{disk} ) { open( $disk, '+<', $option{disk} ) or die "cannot open $option{disk}: $!\n"; }
open( my $random, '<', '/dev/urandom' ) or die "no randomness: $!\n";
sysread( $random, my $bytes, 16 ) == 16 or die "no randomness\n";
my $boot = unpack( 'H8', $bytes ) . join( '', map { '-' . unpack( "x$$_[0] H$$_[1]", $bytes ) } [ 4, 4 ], [ 6, 4 ], [ 8, 4 ], [ 10, 12 ] );

sub listening {
    my ($path) = @_;
    socket( my $socket, AF_UNIX, SOCK_STREAM, 0 ) or die "socket: $!\n";
    bind( $socket, pack_sockaddr_un($path) ) or die "cannot bind $path: $!\n";
    listen( $socket, 8 ) or die "cannot listen on $path: $!\n";
    return $socket;
}
my $control = listening( $option{control} );
my $agent   = listening( $option{agent} );

chdir( $option{root} ) and chroot('.') or die "cannot change root to $option{root}: $!\n";
my $uid = $option{uid};
$( = $) = "$uid $uid";
$< = $> = $uid;
$< == $uid && $> == $uid or die "cannot become user $uid: $!\n";

# Without root, only the TAP's owner gets it, and one that is missing is not made.
my $request = pack( 'a16 S x22', $option{tap}, $IFF_TAP | $IFF_NO_PI );
ioctl( $tun, $TUNSETIFF, $request ) or die "cannot attach to $option{tap}: $!\n";

sub bear_witness { syswrite( $witness, "@_\n" ); }

my ( $count, $running, $ran, $note, $lineage, $saved, $saves ) = ( 0, 0, 0, '', $boot, '', 0 );

sub read_note {
    return '' unless $disk;
    sysseek( $disk, -$NOTE_BYTES, 2 );
    sysread( $disk, my $text, $NOTE_BYTES );
    return ( $text =~ /^(note [^\n]*)\n/ ) ? $1 : '';
}

sub write_note {
    return unless $disk;
    $note = "note $boot $count";
    sysseek( $disk, -$NOTE_BYTES, 2 );
    syswrite( $disk, pack( "A$NOTE_BYTES", "$note\n" ) );
}

if ($incoming) {
    open( my $source, '<&=', 3 ) or die "no state to restore: $!\n";
    my $text = '';
    while ( sysread( $source, my $piece, 65536 ) ) { $text .= $piece; }
    close($source);
    $text =~ /\ASTANDIN boot=(\S+) count=(\d+) saved=(\S+) note=([^\n]*)\n(\.*)END\n\z/ && length($text) == $STATE_BYTES
      or die "the state to restore is not whole\n";
    ( $boot, $count, $lineage, $note ) = ( $1, $2, $3, $4 );
    bear_witness( 'torn', $option{vm}, $lineage ) if read_note() ne $note;
}
else {
    $note = read_note();
}

my %client;    # control connections and agent connections, by file number
my @timers;    # agent answers that are due: [tick, socket, text]

my $ticks = 0;

sub frame { my ($text) = @_; return pack( 'N', length $text ) . $text; }

sub command {
    my ( $socket, $line ) = @_;
    if ( $line eq 'resume' ) {
        if ( !$running ) {
            if ( !$ran ) { bear_witness( 'run', $option{vm}, $lineage ); }
            elsif ( $saved ne '' ) { bear_witness( 'went-on', $option{vm}, $saved ); }
            if ( !$ran && !$incoming ) { syswrite( $console, "mvm-guest ready vm=$option{vm} boot_id=$boot\n" ); }
            ( $running, $ran, $saved ) = ( 1, 1, '' );
        }
        return "ok\n";
    }
    if ( $line eq 'pause' ) { $running = 0; return "ok\n"; }
    if ( $line eq 'save' ) {
        return "error it runs\n" if $running;
        # A state that was restored and never ran is the one that it was restored from: the same instant.
        if ( $ran && $saved eq '' ) { $saves += 1; $saved = "$boot/" . $$ . ".$saves"; bear_witness( 'save', $option{vm}, $saved ); }
        my $name = $saved eq '' ? $lineage : $saved;
        my $head = "STANDIN boot=$boot count=$count saved=$name note=$note\n";
        my $text = $head . ( '.' x ( $STATE_BYTES - length($head) - 4 ) ) . "END\n";
        return 'state ' . length($text) . "\n" . $text;
    }
    if ( $line eq 'query' ) {
        return 'state ' . ( $running ? 'running' : 'paused' ) . " boot=$boot count=$count\n";
    }
    return "error unknown command\n";
}

sub agent_request {
    my ( $socket, $text ) = @_;
    if ( $text =~ /^\{"SleepPrep":/ ) {
        my $due = $ticks + int( ( $option{'drain-ms'} // 0 ) / 1000 / $TICK_SECONDS );
        push @timers, [ $due, $socket, '{"SleepPrepAck":{"success":true,"detail":null}}' ];
        return;
    }
    my $answer =
        $text eq '"Ping"'       ? '"Pong"'
      : $text eq '"Wake"'       ? '{"WakeAck":{"success":true}}'
      : $text =~ /^\{"Resync":/ ? '{"ResyncAck":{"success":true}}'
      :                           '{"Error":{"message":"unknown request"}}';
    syswrite( $socket, frame($answer) );
}

sub send_all {
    my ( $socket, $text ) = @_;
    my $at = 0;
    while ( $at < length $text ) {
        my $sent = syswrite( $socket, $text, length($text) - $at, $at );
        return unless defined $sent;
        $at += $sent;
    }
}

while (1) {
    my $wanted = '';
    # A guest that does not run reads nothing.
    my @read = grep { $running || $_->{kind} eq 'control' } values %client;
    vec( $wanted, fileno($_), 1 ) = 1 for $control, $agent, map { $_->{socket} } @read;
    my $found = select( my $ready = $wanted, undef, undef, $running ? $TICK_SECONDS : undef );
    if ( $found == 0 ) {
        $ticks += 1;
        if ($running) {
            $count += 1;
            write_note() if $count % 2 == 1;
            syswrite( $console, "alive count=$count\n" ) if $count % 10 == 0;
            for my $timer ( grep { $_->[0] <= $ticks } @timers ) { syswrite( $timer->[1], frame( $timer->[2] ) ); }
            @timers = grep { $_->[0] > $ticks } @timers;
        }
        next;
    }
    next if $found < 0;
    for my $server ( [ $control, 'control' ], [ $agent, 'agent' ] ) {
        next unless vec( $ready, fileno( $server->[0] ), 1 );
        accept( my $socket, $server->[0] ) or next;
        $client{ fileno $socket } = { socket => $socket, kind => $server->[1], text => '' };
    }
    for my $number ( keys %client ) {
        my $one = $client{$number};
        next unless vec( $ready, $number, 1 );
        my $got = sysread( $one->{socket}, my $piece, 65536 );
        if ( !$got ) {
            @timers = grep { $_->[1] != $one->{socket} } @timers;
            close( $one->{socket} );
            delete $client{$number};
            next;
        }
        $one->{text} .= $piece;
        if ( $one->{kind} eq 'control' ) {
            while ( $one->{text} =~ s/\A([^\n]*)\n// ) { send_all( $one->{socket}, command( $one->{socket}, $1 ) ); }
            next;
        }
        while ( length( $one->{text} ) >= 4 ) {
            my $size = unpack( 'N', $one->{text} );
            last if length( $one->{text} ) < 4 + $size;
            my $body = substr( $one->{text}, 4, $size );
            $one->{text} = substr( $one->{text}, 4 + $size );
            agent_request( $one->{socket}, $body );
        }
    }
}
