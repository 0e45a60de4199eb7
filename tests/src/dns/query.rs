//! Writing of queries, also of those that break a rule.

/// A query under construction.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    flags: u16,
    question: Vec<u8>,
    opt: Option<(u16, u32, Vec<u8>)>,
}

impl Query {
    /// A question in class IN with RD set.
    pub fn new(name: &str, kind: u16) -> Self {
        let question = [wire_name(name), kind.to_be_bytes().to_vec(), vec![0, 1]].concat();
        Self { id: 0x4d2, flags: 0x0100, question, opt: None }
    }

    /// With this number.
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// With these bits after the number.
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// In this class.
    pub fn class(mut self, class: u16) -> Self {
        let at = self.question.len() - 2;
        self.question[at..].copy_from_slice(&class.to_be_bytes());
        self
    }

    /// With OPT that announces this size.
    pub fn edns(mut self, udp_size: u16) -> Self {
        self.opt = Some((udp_size, 0, Vec::new()));
        self
    }

    /// With these 32 bits in OPT's TTL: code, version, DO.
    pub fn opt_ttl(mut self, ttl: u32) -> Self {
        self.opt.get_or_insert((1232, 0, Vec::new())).1 = ttl;
        self
    }

    /// With the bit DO.
    pub fn dnssec(self) -> Self {
        self.opt_ttl(0x8000)
    }

    /// With one more option in OPT.
    pub fn option(mut self, code: u16, data: &[u8]) -> Self {
        let options = &mut self.opt.get_or_insert((1232, 0, Vec::new())).2;
        options.extend(code.to_be_bytes());
        options.extend((data.len() as u16).to_be_bytes());
        options.extend(data);
        self
    }

    /// As it goes onto the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let counts = [1, 0, 0, u16::from(self.opt.is_some())];
        for word in [self.id, self.flags].into_iter().chain(counts) {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(&self.question);
        if let Some((size, ttl, options)) = &self.opt {
            bytes.extend([0, 0, 41]);
            bytes.extend(size.to_be_bytes());
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((options.len() as u16).to_be_bytes());
            bytes.extend(options);
        }
        bytes
    }
}

/// A name in wire form; `\.`, `\\` and `\DDD` stand for what a label cannot show.
pub fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut label = Vec::new();
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' => {
                if !label.is_empty() {
                    wire.push(label.len() as u8);
                    wire.append(&mut label);
                }
            }
            b'\\' => match bytes.next() {
                Some(first @ b'0'..=b'9') => {
                    let rest =
                        [bytes.next(), bytes.next()].map(|digit| digit.map_or(0, |digit| digit - b'0'));
                    label.push(
                        (first - b'0').wrapping_mul(100).wrapping_add(rest[0] * 10).wrapping_add(rest[1]),
                    );
                }
                Some(byte) => label.push(byte),
                None => {}
            },
            byte => label.push(byte),
        }
    }
    if !label.is_empty() {
        wire.push(label.len() as u8);
        wire.append(&mut label);
    }
    wire.push(0);
    wire
}
