ALTER TABLE outcomes
    ADD COLUMN IF NOT EXISTS other_minor Int64 COMMENT 'Of a payment: what its processor keeps' AFTER fee_minor,
    COMMENT COLUMN kind 'click, conversion, sale, tip, live_sale, purchase or refund',
    COMMENT COLUMN creator_id 'The creator it is attributed to; of a payment, the payee',
    COMMENT COLUMN gross_minor 'Paid out of escrow, or by a payer; below 0: back; 0 unless posted';

ALTER TABLE events
    COMMENT COLUMN kind 'click, page, track, identify, conversion, sale, payment or refund';
