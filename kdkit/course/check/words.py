"""The sentences that more than one check says, each in one place. All follow "not yet: "."""

NOT_ATTEMPTED = "not attempted yet: replace the ... and run the cell again"
AS_FOUND = "the bug is still there, as it was found: fix it in this cell, and run the cell again"
RETURN_MISSING = "your function returned nothing: is the `return` missing?"
LETTERS = "B is the number of images or sentences, L of tokens in each, C of classes or words, T the temperature"

# what is wrong besides the numbers
IN_PLACE = (
    "your function changes what it was given (an operation in place: `/=`, `div_` or the like), so whoever calls it "
    "goes on with other numbers. Make a new tensor: `logits = logits / temperature`"
)
AUTOGRAD = (
    "the numbers are right, but autograd computed them. Here the formula is wanted: write the gradient with softmax, "
    "without grad() and backward()"
)
LOG_OF_ZERO = (
    "right for ordinary logits, but where two logits lie 1,000 apart yours is {got}: the softmax rounds to 0 there, "
    "and the logarithm of 0 is minus infinity. log_softmax never takes that detour"
)
ADDED_IN_LOG = (
    "right for ordinary logits, but where two logits lie 1,000 apart yours is {got}, and {wanted} is right: something "
    "small is added, or a clamp cuts off, inside the logarithm. log_softmax needs neither"
)
NO_GRADIENT = "the number is right, but no gradient reaches the student: .item(), .detach() or no_grad cuts it off"
FOUR = "a 4 stands where the temperature belongs: your function is handed another temperature here, each time"
ASK_BOTH = "both networks must be asked"
ANOTHER_LOSS = "but the loss is another one now"


def two(first: str, second: str) -> str:
    """Two mistakes at once, in one sentence each."""
    return f"two things at once. First, {first}. Second, {second}"


# the student's and the teacher's places
SWAPPED = "student and teacher are swapped: the teacher's probabilities weigh, the student's stand in the logarithm"
SIGN = "the sign is turned: a logarithm of a probability is negative, a loss is not"
CROSS_ENTROPY = "this is the cross-entropy: subtract the teacher's entropy, so that equal networks give 0"

# softmax and logarithm
OVER_BATCH = "your softmax runs over the batch: classes are the last dimension, dim=1"
OVER_TOKENS = "your softmax runs over the tokens of a sentence (dim=1): words are the last dimension, dim=-1"
LOG_PROBABILITIES = "these are log-probabilities: softmax, not log_softmax"
SOFTMAX_FIRST = "you took the softmax before F.cross_entropy, which takes logits and does that itself"
LOG_MISSING = "F.kl_div wants the LOGARITHM of the student's probabilities: log_softmax on that side"
KL_DIV = "F.kl_div wants the student's log_softmax first and the teacher's softmax second"
NAN = f"the result is nan. {KL_DIV}: logarithms or bare logits in second place give nan"
RAW_WEIGHTS = "the teacher's raw logits stand before the logarithms as weights, and are no probabilities: softmax first"
MINUS = "the minus is missing: a cross-entropy is minus the logarithm of a probability"
LOGIT_FOR_LOG = "you took the student's logit where its log-probability belongs: log_softmax first"

# groups, bits
BY_ANSWER = "you grouped by the network's answer (argmax): group by the label"
LOGITS_AVERAGED = "you averaged the logits and took the softmax afterwards: soften each image first, then average"
NATS = "this is in nats: for bits take log2, or divide by log 2"

# the temperature
NO_TEMPERATURE = "the temperature makes no difference: divide both networks' logits by it"
MULTIPLIED = "you multiplied the logits by the temperature: divide them"
ONLY_TEACHER = "only the teacher is softened: divide the student's logits by the temperature too"
ONLY_STUDENT = "only the student is softened: divide the teacher's logits by the temperature too"
SQUARE = "the factor T^2 is in it: it belongs to the loss, and here the bare KL is wanted"

ONE_TEMPERATURE = "the temperature makes no difference to your answer: divide the logits by it"

# the mean
PER_IMAGE = "one number is wanted: average over the batch"
CLASSES_TOO = (
    "you averaged over the classes as well, too small by their number: it is a sum over them (reduction='batchmean')"
)
NOT_DIVIDED = "you added over the batch and did not divide by its size"
BATCH_MEAN = "the loss is a mean over the batch: divide by its size"

# tokens and their mask
PADDING = "the padding counts in yours: select the tokens with the mask, as in tensor[mask]"
MASK_TURNED = "the mask is turned round: True says that a token counts"
MEAN_OF_ALL = "you left the padding out of the sum but not out of the mean: divide by mask.sum(), not by B times L"
TOKENS_NOT_DIVIDED = "you added and did not divide: by mask.sum(), the number of tokens"
DIVIDED_TWICE = "you divided twice: a mean over the tokens needs no division by the batch"
PER_TOKEN = "one number is wanted: average over the tokens that count"
PER_SENTENCE = "you averaged each sentence first: then a token of a short sentence weighs more. All tokens count alike"
