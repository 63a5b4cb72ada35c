#!/usr/bin/perl
# Learns and asks SpamAssassin in one process, without network.
#
#   spamassassin.pl FOLDER rules|bayes < LINES
#
# A line is "learn spam FILE", "learn ham FILE" or "ask FILE". For each ask comes a line: the file, the score of the
# rules that hit (as they count where Bayes is used), Bayes' probability, its score, and milliseconds of processor
# time. With "rules" Bayes is not asked, with "bayes" the rules are not: 0 stands for them.
use strict;
use warnings;
use Mail::SpamAssassin;
use Mail::SpamAssassin::PerMsgStatus;

my ($folder, $what) = @ARGV;
my $sa = Mail::SpamAssassin->new({
	userprefs_filename => "$folder/prefs", userstate_dir => $folder, home_dir_for_helpers => $folder,
	dont_copy_prefs => 1, local_tests_only => 1,
	post_config_text => "use_bayes " . ($what eq 'bayes' ? 1 : 0) . "\nbayes_path $folder/bayes\nbayes_auto_learn 0\nbayes_auto_expire 0\nlock_method flock\n",
});
open(my $prefs, '>', "$folder/prefs") or die; close $prefs;
$sa->init(1);
my $bayes;
for my $p (@{$sa->{plugins}->{plugins}}) { $bayes = $p if ref($p) eq 'Mail::SpamAssassin::Plugin::Bayes'; }
die "no Bayes" unless $bayes || $what eq 'rules';
my @ranges = ([0, 0.01, 'BAYES_00'], [0.01, 0.05, 'BAYES_05'], [0.05, 0.2, 'BAYES_20'], [0.2, 0.4, 'BAYES_40'], [0.4, 0.6, 'BAYES_50'],
	[0.6, 0.8, 'BAYES_60'], [0.8, 0.95, 'BAYES_80'], [0.95, 0.99, 'BAYES_95'], [0.99, 0.999, 'BAYES_99'], [0.999, 2, 'BAYES_99']);
sub points { my $name = shift; my $s = $sa->{conf}->{scoreset}->[2]->{$name}; return defined $s ? $s : 0; }

$| = 1;
my $learning = 0;
while (my $line = <STDIN>) {
	chomp $line;
	my ($verb, @rest) = split / /, $line;
	my $file = $rest[-1];
	open(my $in, '<', $file) or die "$file: $!";
	my @octets = <$in>;
	close $in;
	my $msg = $sa->parse(\@octets);
	if ($verb eq 'learn') {
		if (!$learning) { $sa->init_learner({ caller_will_untie => 1, learn_to_journal => 0, wait_for_lock => 1 }); $learning = 1; }
		$sa->learn($msg, undef, $rest[0] eq 'spam', 0)->finish();
		$msg->finish();
		next;
	}
	if ($learning) { $sa->rebuild_learner_caches(); $sa->finish_learner(); $learning = 0; }
	my @start = times;
	my ($points, $p) = (0, undef);
	if ($what eq 'rules') {
		my $status = $sa->check($msg);
		for my $name (split /,/, $status->get_names_of_tests_hit()) { $points += points($name) unless $name =~ /^BAYES_/; }
		$status->finish();
	} else {
		my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $msg);
		$msg->extract_message_metadata($status);
		$p = $bayes->scan($status, $msg);
		$status->finish();
	}
	my $own = 0;
	if (defined $p) {
		for my $r (@ranges) { $own = points($r->[2]) if $p >= $r->[0] && $p < $r->[1]; }
		$own += points('BAYES_999') if $p >= 0.999;
	} else { $p = $what eq 'rules' ? 0 : 0.5; }
	my @end = times;
	$msg->finish();
	printf "%s %.3f %.9f %.3f %.1f\n", $file, $points, $p, $own, 1000 * ($end[0] + $end[1] - $start[0] - $start[1]);
}
