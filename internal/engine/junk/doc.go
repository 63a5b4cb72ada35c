// Package junk learns to tell junk from other mail by what messages say. It is a
// classifier only: what a person did with a message is for others to find out, what
// becomes of a message too.
//
// A message is a set of features (FeaturesOf), hashes of what it has: words and pairs of
// words, two characters side by side where words are not parted by spaces, the shape of its header and HTML, where
// its links lead. A linear model weighs them: logistic regression, learned message by message, with a rate for each feature
// that falls with what was learned of it (AdaGrad), where a feature counts for
// as much as the messages seen so far say that it tells junk from others, and each sort of
// features (of the text, the header, who wrote, …) for so much together. There is one model for the
// site and a small one for each account, which has what the account's own lessons say beyond the site's; they are added up.
//
// The score is in natural log-odds: 0 is "do not know", positive is junk, clamped to ±MaxScore, and close to 0 while
// little was learned.
//
// Invariants:
//   - Learning adds whole numbers to the models, and a Lesson says which. To unlearn is to
//     take them away again: in whatever order lessons are learned and unlearned, on whatever machine, a model is
//     the sum of the lessons that are left, to the bit.
//   - The models have no words in them, and a message cannot be read out of them. Who has an account's model
//     and a message can guess whether it was learned.
//   - A Site and 1,000 Accounts take less than 64 MiB.
//   - A score is that of the models to a twentieth of a log-odds: it goes by the gists of the site's slots (gist.go),
//     which follow each change of them.
//
// Nothing here reads a clock, a database or a random number. Who keeps models saves the
// pages that changed (Dirty) or replays lessons (Apply).
package junk
