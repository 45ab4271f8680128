package radius

import (
	"strings"
	"sync"
	"sync/atomic"

	"enlace/contracts"
)

// accessPages finds subscribers by the number of their access. The numbers lie close together, so that each costs little
// more than a pointer.
type accessPages struct {
	mu    sync.RWMutex
	pages map[int64]*[accessPage]atomic.Pointer[Subscriber]
}

const accessPage = 128

func (p *accessPages) find(id contracts.AccessID) *Subscriber {
	p.mu.RLock()
	page := p.pages[int64(id)/accessPage]
	p.mu.RUnlock()
	if page == nil || id <= 0 {
		return nil
	}
	return page[int64(id)%accessPage].Load()
}

func (p *accessPages) place(id contracts.AccessID) *atomic.Pointer[Subscriber] {
	number := int64(id) / accessPage
	p.mu.RLock()
	page := p.pages[number]
	p.mu.RUnlock()
	if page == nil {
		p.mu.Lock()
		if page = p.pages[number]; page == nil {
			if p.pages == nil {
				p.pages = map[int64]*[accessPage]atomic.Pointer[Subscriber]{}
			}
			page = new([accessPage]atomic.Pointer[Subscriber])
			p.pages[number] = page
		}
		p.mu.Unlock()
	}
	return &page[int64(id)%accessPage]
}

// follow takes in that a login's entry changed from old to new; either may be nil.
func (p *accessPages) follow(old, new *Subscriber) {
	if new != nil && new.Access > 0 {
		p.place(new.Access).Store(new)
	}
	if old != nil && old.Access > 0 && (new == nil || old.Access != new.Access) {
		p.place(old.Access).CompareAndSwap(old, nil) // another login may be the access's by now
	}
}

// Of is whose a session is: the access's that its Class names, whatever its User-Name says, or the login's where no Class
// came back or its access is not known; nil when it is nobody's.
func (d *Directory) Of(access contracts.AccessID, login string) *Subscriber {
	if s := d.accesses.find(access); s != nil {
		return s
	}
	return d.Lookup([]byte(strings.TrimSpace(login)))
}
