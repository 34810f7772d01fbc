package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/castoff-ecs/castoff/controller/notify"
)

// Bounds of what is sent, and of the wait for it.
const (
	// queueLength is how many notifications may wait for one receiver.
	queueLength = 100
	// patience is how old news may get before it is given up.
	patience = 15 * time.Minute
	// The time between two tries grows from the first to the most, with a jitter.
	firstPause = time.Second
	mostPause  = time.Minute
	// flushing is how long stopping waits for what is still queued: within
	// castoff's own grace, and leaving time for the rest.
	flushing = 4 * time.Second
)

// Receiver is where notifications go, and which.
type Receiver struct {
	Name    string
	Kind    notify.Kind
	URL     string
	Secret  string // of a webhook; see config.Receiver
	Headers http.Header
	Timeout time.Duration // of one try
	Rule    notify.Rule
	Text    *notify.Text
}

// Recorder counts. Its methods are called concurrently.
type Recorder interface {
	// Receiver is called once for each before anything else.
	Receiver(name string, events []notify.Event)
	Notified(receiver string, e notify.Event, r notify.Result)
	Queued(receiver string, n int)
}

// Options are what a Sender is made of. All are required.
type Options struct {
	Receivers []Receiver
	Place     notify.Place
	Version   string // of castoff
	Transport http.RoundTripper
	Recorder  Recorder
	Logger    *slog.Logger
}

// Transport makes connections for a Sender: through proxies, and to whom the
// roots vouch for (nil: the system's).
func Transport(proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	t.Proxy = proxy
	t.MaxResponseHeaderBytes = 16 << 10
	t.MaxIdleConnsPerHost = 1
	if roots != nil {
		if t.TLSClientConfig == nil { // without HTTP/2, as by GODEBUG=http2client=0
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.RootCAs = roots
	}
	return t
}

// Sender sends notifications.
type Sender struct {
	log       *slog.Logger
	receivers []*receiver
	handover  handover
	ending    context.Context // ends when no pass is to come
	end       context.CancelFunc
	soft      context.Context // ends when there is nothing more to come
	stop      context.CancelFunc
	hard      context.Context // ends when what is left is to be dropped
	abandon   context.CancelFunc
	workers   sync.WaitGroup
}

// New makes a Sender that sends nothing yet. The error is of a secret that cannot
// be used.
func New(o Options) (*Sender, error) {
	s := &Sender{log: o.Logger, handover: handover{wake: make(chan struct{}, 1)}}
	s.ending, s.end = context.WithCancel(context.Background())
	s.soft, s.stop = context.WithCancel(context.Background())
	s.hard, s.abandon = context.WithCancel(context.Background())
	client := &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, to := range o.Receivers {
		r := &receiver{
			Receiver: to, place: o.Place, agent: "castoff/" + o.Version, client: client, recorder: o.Recorder, teller: notify.NewTeller(to.Rule, notify.State{}),
			log: o.Logger.With("receiver", to.Name), wake: make(chan struct{}, 1), standing: notify.Standing{Name: to.Name, Kind: to.Kind},
		}
		if to.Kind == notify.Webhook {
			key, err := standardwebhooks.NewWebhook(to.Secret)
			if err != nil {
				return nil, fmt.Errorf("the secret of receiver %s is not base64", to.Name) // the cause quotes it
			}
			r.key = key
		}
		o.Recorder.Receiver(to.Name, to.Rule.Events)
		s.receivers = append(s.receivers, r)
	}
	return s, nil
}

// Remember has the receivers know what an earlier castoff knew, so that they are
// not told again. It is called before Start.
func (s *Sender) Remember(past notify.State) {
	for _, r := range s.receivers {
		r.teller = notify.NewTeller(r.Rule, past)
	}
}

// Start begins to send. It is called once.
func (s *Sender) Start() {
	s.workers.Go(func() {
		s.work(s.ending, s.hard)
		s.stop()
	})
	for _, r := range s.receivers {
		s.workers.Go(func() { r.run(s.soft, s.hard) })
	}
}

// Tell takes in what is known after a pass, which must not change any more. It
// waits for nobody and works nothing out, so it takes no time of the pass. It is
// called by one goroutine.
//
// It answers how many earlier passes are skipped for it, because working out what
// they changed is too far behind: what still holds is told with a later one, and
// nobody is told what began and was over in between.
func (s *Sender) Tell(state notify.State) (skipped int) {
	skipped, taken := s.handover.put(state)
	if !taken { // as of a pass that outlasts the patience of a stop: for its drops to be counted
		s.tell(state)
	}
	if skipped > 0 {
		s.log.Warn("telling people is behind: what began and was over in a pass that is skipped is not told", "passes", skipped)
	}
	return skipped
}

// Standing is how it stands with each receiver. A nil Sender has none.
func (s *Sender) Standing() []notify.Standing {
	if s == nil {
		return nil
	}
	all := make([]notify.Standing, len(s.receivers))
	for i, r := range s.receivers {
		r.mu.Lock()
		all[i] = r.standing
		r.mu.Unlock()
	}
	return all
}

// Stop ends the Sender after what the last passes changed has been worked out, and
// each queued notification been tried once more; and at the latest after some seconds or when ctx is done; what is left then is
// dropped, which is logged and no error: castoff has nothing else to do for it.
func (s *Sender) Stop(ctx context.Context) error {
	s.end()
	ctx, cancel := context.WithTimeout(ctx, flushing)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		s.stop()
		s.abandon()
	})()
	s.workers.Wait() // what a worker waits for ends with hard
	s.stop()
	s.abandon()
	return nil
}

// Try sends a test message to one receiver, now and once. It says how that went.
func (s *Sender) Try(ctx context.Context, receiver string) error {
	for _, r := range s.receivers {
		if r.Name == receiver {
			n := notify.Trial(time.Now())
			body, err := n.Payload(r.Kind, r.Text, r.place)
			return errors.Join(err, r.post(ctx, n.ID, body))
		}
	}
	return fmt.Errorf("there is no receiver %s", receiver)
}
